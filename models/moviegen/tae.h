// Movie Gen's temporal autoencoder (arXiv 2410.13720, section 3.1.1): latent diffusion's
// autoencoder of images (models/vae), inflated: behind every convolution of a frame one along time,
// behind every attention of a frame one along time. With factor() = 2^(levels − 1):
//   encoder  video [batch, time_factor · frames, factor · height, factor · width, image_channels]
//   in
//            [−1, 1] → mean [batch, frames, height, width, latent_channels]
//   decoder  latents, shaped as mean → video, shaped as above; frames beyond the clip are dropped
//   by
//            whoever asked
// A module's result is "<module>.output". The paper gives no widths: they are those of the images'
// autoencoder. Norms see each frame alone, as there, and attention along time each place alone.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct TaeConfig {
  int64_t image_channels = 3, latent_channels = 16;
  std::vector<int64_t> levels{128, 256, 512, 512};  // channels, finest first
  int64_t layers = 2;                               // residual blocks a level of the encoder
  int64_t groups = 32;                              // of the norms
  // Each frame by itself, without convolutions and attention along time: a latent a frame (the
  // spatial upsampler's, section 3.1.5).
  bool frames_alone = false;

  int64_t factor() const { return int64_t{1} << (levels.size() - 1); }
  int64_t time_factor() const { return frames_alone ? 1 : factor(); }
};

Result<Graph> build_tae_encoder(const TaeConfig& config);
Result<Graph> build_tae_decoder(const TaeConfig& config);

}  // namespace zoetrope
