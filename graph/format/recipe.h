// How to sample a model: what the .zoe file's recipe says, and the defaults of `generate`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// A modality's latents: the DiT works on (latent - mean) / std, one entry a channel.
struct LatentSpec {
  int channels = 0;
  std::vector<float> mean;
  std::vector<float> std;

  // How its decoder may be run piece by piece, counted in latents along time.
  int64_t tile_length = 0;   // of one call; 0: always the whole sequence
  int64_t tile_overlap = 0;  // that neighbouring tiles share, at least
  int64_t reach = 0;  // decoded output depends on this many latents on either side; 0: unknown
};

// What a model accepts along one dimension: min..max in steps of `multiple`.
struct Range {
  int64_t min = 1;
  int64_t max = 1;
  int64_t multiple = 1;
  int64_t preferred = 1;
};

struct Recipe {
  std::string pipeline =
      "joint_av";  // which C++ stages run it: "joint_av", "class_image", "text_video"

  // Denoising
  std::string solver = "euler";     // euler, midpoint, heun (flow matching); ddpm, ddim
  std::string schedule = "linear";  // linear, shifted, linear_quadratic, explicit
  double shift = 1.0;               // of "shifted"
  int linear_steps = 1000;          // N of "linear_quadratic"
  std::vector<double> times;        // of "explicit": steps + 1 values from 1 to 0
  int steps = 30;
  double guidance = 1.0;
  double sigma_min = 1e-5;

  // The clip
  int fps = 16;
  int frames_per_latent = 8;
  int pixels_per_latent = 8;
  int sample_rate = 0;  // 0: the model has no sound
  int audio_channels = 0;
  int samples_per_latent = 0;
  LatentSpec video;
  LatentSpec audio;
  Range width, height, frames;

  // Text
  std::string tokenizer = "bytes";
  int max_text = 0;  // ids, with the special ones
};

// Strict: unknown keys, wrong types and values out of bounds are errors that name the key.
Result<Recipe> parse_recipe(std::string_view json);
std::string recipe_to_json(const Recipe& recipe);

}  // namespace zoetrope
