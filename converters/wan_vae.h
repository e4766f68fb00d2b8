// Wan's autoencoders from their published files.
#pragma once

#include <string>
#include <vector>

#include "converters/opened_part.h"
#include "models/wan/recipe.h"
#include "models/wan/vae.h"

namespace zoetrope {

struct WanAutoencoder {
  WanVaeConfig config;
  std::vector<float> mean, deviation;  // of latents, a channel; empty: unknown
  OpenedPart part;                     // encoder_first, encoder, decoder_first, decoder
};

// A folder of diffusers (AutoencoderKLWan), or the original's file, 2.1 or 2.2.
Result<WanAutoencoder> open_wan_autoencoder(const std::string& path);

}  // namespace zoetrope
