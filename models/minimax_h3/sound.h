// MiniMax-H3's autoencoder of sound (diffusers' autoencoder_kl_minimax_h3_audio.py), mono: the
// sides of stereo go through it one by one. With hop() samples a latent:
//   sound_encoder  sound [batch, hop · frames, sides] in [−1, 1]
//                  → mean [batch, frames, sides · latent_channels], unnormalised
//   sound_decoder  latents [batch, frames, sides · latent_channels], unnormalised
//                  → sound [batch, hop · frames, sides]
// Weights carry the checkpoint's names (weight_g and weight_v of convolutions), the decoder's those
// of models/ltx2/vocoder.h under "decoder"; a block's result is "<block>.output".
#pragma once

#include <vector>

#include "graph/graph.h"
#include "models/ltx2/vocoder.h"

namespace zoetrope {

struct MiniMaxH3SoundConfig {
  int64_t sides = 2;
  int64_t base = 64;  // channels of the encoder's first layer
  std::vector<int64_t> strides{2, 4, 4, 5, 5};
  int64_t trunk = 2048, latent_channels = 32, heads = 8;
  Ltx2Generator decoder = minimax_h3_vocoder();
  int sample_rate = 32000;

  int64_t hop() const;  // above Ltx2Generator::kMostFactor what is too much
  static Ltx2Generator minimax_h3_vocoder();
};

// Sizes that cannot be; both graphs begin with it.
Status check_minimax_h3_sound(const MiniMaxH3SoundConfig& config);

Result<Graph> build_minimax_h3_sound_encoder(const MiniMaxH3SoundConfig& config);
Result<Graph> build_minimax_h3_sound_decoder(const MiniMaxH3SoundConfig& config);

}  // namespace zoetrope
