// How pictures are made with a DiT: class label → denoise → decode.
#pragma once

#include <string>
#include <vector>

#include "graph/format/recipe.h"
#include "models/dit/dit.h"

namespace zoetrope {

// What the network's own configuration does not say.
struct DitPictures {
  bool autoencoder = true;  // components encoder and decoder (models/vae) are there
  int64_t pixels = 8;       // a side, that a latent stands for
  double scale = 0.18215;   // latents are (z − shift) · scale; that of SD's kl-f8
  double shift = 0;
  DiffusionSpec sampler = {};
  int steps = 250;
  double guidance = 4;                   // both reference projects' default
  int guidance_channels = 3;             // the original guides three channels of four; 0: all
  std::vector<std::string> labels = {};  // by class; may be empty
};

// The original project's sampling: 250 respaced steps of DDPM.
DitPictures original_dit_pictures(const DitConfig& config);
// diffusers' DiTPipeline with a scheduler that nothing is known of: 50 steps of DDIM.
DitPictures diffusers_dit_pictures();

Recipe dit_recipe(const DitConfig& config, const DitPictures& pictures);

}  // namespace zoetrope
