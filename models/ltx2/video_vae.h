// LTX-2's autoencoder of video (diffusers' autoencoder_kl_ltx2.py). With space() and time() pixels
// and frames a latent, the first latent standing for one frame:
//   encoder  video [batch, 1 + time·frames, space·height, space·width, channels] in [−1, 1]
//            → mean [batch, 1 + frames, height, width, latent_channels], unnormalised
//   decoder  latents [batch, frames, height, width, latent_channels], unnormalised
//            → video [batch, 1 + time·(frames − 1), space·height, space·width, channels]
// Weights carry diffusers' names, convolutions channels last; a module's result is
// "<module>.output".
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct Ltx2VaeConfig {
  int64_t channels = 3, latent_channels = 128, patch = 4;
  enum class Change { kNone, kSpatial, kTemporal, kBoth };  // of size, by two
  struct Level {
    int64_t channels, blocks;
    Change change;
    bool residual = true;   // decoder: the upsampler has a shortcut
    int64_t narrowing = 2;  // decoder: channels it divides by on the way
  };
  // Finest first for the encoder, coarsest first for the decoder.
  std::vector<Level> encoder{{256, 4, Change::kSpatial},
                             {512, 6, Change::kTemporal},
                             {1024, 6, Change::kBoth},
                             {2048, 2, Change::kBoth}};
  std::vector<Level> decoder{
      {1024, 5, Change::kBoth}, {512, 5, Change::kBoth}, {256, 5, Change::kBoth}};
  int64_t encoder_middle = 2, decoder_middle = 5;  // residual blocks
  bool encoder_causal = true, decoder_causal = false;
  bool encoder_reflects = false, decoder_reflects = true;  // at the borders of frames; else zeros
  double epsilon = 1e-6;                                   // of shortcuts' norms

  int64_t space() const;
  int64_t time() const;
};

Ltx2VaeConfig ltx2_3_vae();  // LTX-2.3

Result<Graph> build_ltx2_video_encoder(const Ltx2VaeConfig& config);
Result<Graph> build_ltx2_video_decoder(const Ltx2VaeConfig& config);

}  // namespace zoetrope
