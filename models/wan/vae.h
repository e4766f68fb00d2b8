// Wan's causal video autoencoders, 2.1 (4×8×8, 16 channels) and 2.2 (4×16×16, 48 channels), as
// diffusers' AutoencoderKLWan. With space() = patch · 2^(levels − 1) and time() = 2^(halvings):
//   encoder_first  video [batch, 1, height, width, 3]         → mean, log_variance [batch, 1, ...]
//   encoder        video [batch, time·frames, height, width, 3] → mean, log_variance
//                  [batch, frames, height/space, width/space, latent_channels]
//   decoder_first  latents [batch, 1, height, width, latent_channels] → video [batch, 1, ...]
//   decoder        latents [batch, frames, height, width, latent_channels]
//                  → video [batch, time·frames, space·height, space·width, 3]
// Pixels lie in [−1, 1] and are clamped there; latents are not normalised. Extents that space()
// does not divide are cut off by 2.1's encoder and refused by 2.2's.
//
// A clip is its first frame alone and then time() frames a latent. The network differs there (its
// first frame is neither joined nor doubled in time), so the first latent has a graph of its own.
// Both graphs have the same states: what the causal convolutions saw last. Whoever runs them calls
// the _first graph once, hands its states to the other by name, and calls that for one or more
// latents at a time; the result is the whole clip's, exactly, and memory does not follow its
// length. Weights carry diffusers' names, a module's result is "<module>.output", and the states of
// a convolution are "<module>.state".
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct WanVaeConfig {
  int64_t latent_channels = 16;
  int64_t encoder_width = 96, decoder_width = 96;    // of the finest level
  std::vector<int64_t> levels{1, 2, 4, 4};           // multiples of it, finest first
  int64_t blocks = 2;                                // residual blocks a level of the encoder
  std::vector<bool> halves_time{false, true, true};  // between levels, finest first
  bool shortcuts = false;  // 2.2: levels are residual, by averages down and by copies up
  int64_t patch = 1;       // 2.2: pixels of a side that become channels
  int64_t image_channels = 3;

  int64_t space() const { return patch << (levels.size() - 1); }
  int64_t time() const;
};

inline WanVaeConfig wan_vae_2_1() { return {}; }
WanVaeConfig wan_vae_2_2();

enum class ClipPart { kFirst, kLater };

// Errors name what cannot be: sizes of zero, levels and halvings that do not fit each other,
// channels that the shortcuts cannot spread.
Result<Graph> build_wan_vae_encoder(const WanVaeConfig& config, ClipPart part);
Result<Graph> build_wan_vae_decoder(const WanVaeConfig& config, ClipPart part);

}  // namespace zoetrope
