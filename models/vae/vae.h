// The autoencoder of latent diffusion (kl-f8; Rombach et al., arXiv 2112.10752), diffusers'
// AutoencoderKL. With `factor` = 2^(levels − 1):
//   encoder  image [batch, height, width, image_channels] in [−1, 1]
//            → mean, log_variance [batch, height/factor, width/factor, latent_channels], unscaled
//   decoder  latents [batch, height, width, latent_channels], unscaled
//            → image [batch, factor·height, factor·width, image_channels]
// Weights carry diffusers' names, and a module's result is "<module>.output". Norms and attention see the whole picture: a decoder cut into
// tiles is an approximation, however wide they overlap.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct VaeConfig {
  int64_t image_channels = 3, latent_channels = 4;
  std::vector<int64_t> levels{128, 256, 512, 512};  // channels, finest first
  int64_t layers = 2;                               // residual blocks a level of the encoder
  int64_t groups = 32;                              // of the norms
  enum class Activation { kSilu, kGelu, kRelu } activation = Activation::kSilu;
  bool mid_attention = true;
  bool quant_conv = true, post_quant_conv = true;

  int64_t factor() const { return int64_t{1} << (levels.size() - 1); }
};

// Errors name what cannot be: levels that the groups do not divide, sizes of zero.
Result<Graph> build_vae_encoder(const VaeConfig& config);
Result<Graph> build_vae_decoder(const VaeConfig& config);

}  // namespace zoetrope
