// The size of a clip in pixels, frames and samples, and of its latents.
#pragma once

#include <cstdint>

#include "graph/dim.h"
#include "runtime/pipeline/flat_recipe.h"

namespace zoetrope {

struct ClipShape {
  int64_t width = 0, height = 0, frames = 0;  // as asked for
  int64_t samples = 0;                        // a channel; 0 without sound
  int64_t latent_frames = 0, latent_height = 0, latent_width = 0;
  int64_t audio_latents = 0;

  double seconds(const FlatRecipe& recipe) const {
    return static_cast<double>(frames) / recipe.fps;
  }
  int64_t video_elements(const FlatRecipe& recipe) const {
    return latent_frames * latent_height * latent_width * recipe.video.channels;
  }
  int64_t audio_elements(const FlatRecipe& recipe) const {
    return audio_latents * recipe.audio.channels;
  }
};

// What the user may leave open: 0 takes the recipe's preferred value. `seconds` wins over nothing;
// giving both frames and seconds is an error.
struct ClipRequest {
  int64_t width = 0, height = 0, frames = 0;
  double seconds = 0;
};

// Errors say which values the model accepts and the nearest one to what was asked.
Result<ClipShape> resolve_clip_shape(const FlatRecipe& recipe, const ClipRequest& request);

}  // namespace zoetrope
