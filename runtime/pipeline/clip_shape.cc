#include "runtime/pipeline/clip_shape.h"

#include <algorithm>
#include <cmath>

namespace zoetrope {
namespace {

int64_t ceil_div64(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t nearest(const Range& range, int64_t value) {
  const int64_t low = ceil_div64(range.min, range.multiple) * range.multiple;
  const int64_t high = std::max(low, range.max / range.multiple * range.multiple);
  const int64_t clamped = std::clamp(value, low, high);
  return std::clamp((clamped + range.multiple / 2) / range.multiple * range.multiple, low, high);
}

Result<int64_t> pick(const char* what, const Range& range, int64_t asked) {
  if (asked == 0) return range.preferred;
  if (asked >= range.min && asked <= range.max && asked % range.multiple == 0) return asked;
  return error(Code::kInvalidArgument, what, " ", asked, ": this model makes ", range.min, " to ",
               range.max, range.multiple > 1 ? str(" in steps of ", range.multiple) : std::string(),
               "; the nearest is ", nearest(range, asked));
}

}  // namespace

Result<ClipShape> resolve_clip_shape(const FlatRecipe& recipe, const ClipRequest& request) {
  ClipShape shape;
  ZT_ASSIGN_OR_RETURN(shape.width, pick("width", recipe.width, request.width));
  ZT_ASSIGN_OR_RETURN(shape.height, pick("height", recipe.height, request.height));
  if (request.frames != 0 && request.seconds != 0)
    return error(Code::kInvalidArgument, "give either frames or seconds, not both");
  if (request.seconds != 0) {
    const double longest = static_cast<double>(recipe.frames.max) / recipe.fps;
    if (!(request.seconds > 0) || request.seconds > longest + 1e-9)
      return error(Code::kInvalidArgument, "seconds ", request.seconds,
                   ": this model makes clips of up to ", longest, " s");
    // A duration is rounded to whole frames that the model can make.
    shape.frames = nearest(recipe.frames, std::llround(request.seconds * recipe.fps));
  } else {
    ZT_ASSIGN_OR_RETURN(shape.frames, pick("frames", recipe.frames, request.frames));
  }
  shape.latent_frames = ceil_div64(shape.frames, recipe.frames_per_latent);
  shape.latent_height = ceil_div64(shape.height, recipe.pixels_per_latent);
  shape.latent_width = ceil_div64(shape.width, recipe.pixels_per_latent);
  if (recipe.sample_rate > 0) {
    shape.samples = shape.frames * recipe.sample_rate / recipe.fps;
    shape.audio_latents = ceil_div64(shape.frames * recipe.sample_rate,
                                     int64_t{recipe.fps} * recipe.samples_per_latent);
  }
  return shape;
}

}  // namespace zoetrope
