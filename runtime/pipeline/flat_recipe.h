// The recipe of a joint video and sound model as this pipeline reads it. Goes with the pipeline.
#pragma once

#include "graph/format/recipe.h"

namespace zoetrope {

struct FlatLatents {
  int channels = 0;
  std::vector<float> mean, std;
  int64_t tile_length = 0, tile_overlap = 0, reach = 0;
};

struct FlatRecipe {
  FlowSampler sampler;
  int steps = 30;
  double guidance = 1.0;
  int fps = 16, frames_per_latent = 8, pixels_per_latent = 8;
  int sample_rate = 0, audio_channels = 0, samples_per_latent = 0;
  FlatLatents video, audio;
  Range width, height, frames;
  int max_text = 0;
};

Result<FlatRecipe> flatten(const Recipe& recipe);

}  // namespace zoetrope
