// A codec of sound as Movie Gen Audio's (arXiv 2410.13720, section 6.1): DAC (arXiv 2306.06546)
// with a Gaussian latent in place of its codes, 48 kHz to 25 Hz of 128 channels. With stride()
// samples a latent:
//   sound_encoder  sound [batch, frames · stride(), channels] in [−1, 1]
//                  → mean [batch, frames, latent_channels]
//   sound_decoder  latents [batch, frames, latent_channels] → sound, shaped as above
// The paper gives rates and the latent's width. Widths, strides and two channels of sound are
// chosen here as DAC has them, as far as it does.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct MovieGenCodecConfig {
  int64_t channels = 2, latent_channels = 128;
  int64_t encoder_width = 64;                  // doubled by each stride
  int64_t decoder_width = 1536;                // halved by each
  std::vector<int64_t> strides{2, 8, 10, 12};  // of the encoder; the decoder's are reversed
  std::vector<int64_t> dilations{1, 3, 9};

  int64_t stride() const;
  // Latents on either side that a latent, and a latent's samples, depend on.
  int64_t encoder_reach() const;
  int64_t decoder_reach() const;
};

Result<Graph> build_moviegen_sound_encoder(const MovieGenCodecConfig& config);
Result<Graph> build_moviegen_sound_decoder(const MovieGenCodecConfig& config);

}  // namespace zoetrope
