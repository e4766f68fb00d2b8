// SD's autoencoder from its published files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "converters/checkpoint.h"
#include "converters/weight_map.h"
#include "models/vae/vae.h"

namespace zoetrope {

struct Autoencoder {
  VaeConfig config;
  double scale = 0.18215, shift = 0;  // a denoiser's latents are (z − shift) · scale
  int64_t sample_size = 0;            // pixels a side that tiles should have; 0: not stated
  std::vector<Graph> graphs;          // encoder, decoder
  std::unique_ptr<Checkpoint> checkpoint;
  WeightMap weights;  // of the graphs; reads `checkpoint`
};

// diffusers' folder (AutoencoderKL), or the original project's file, alone or inside a Stable
// Diffusion checkpoint.
Result<Autoencoder> open_autoencoder(const std::string& path);

}  // namespace zoetrope
