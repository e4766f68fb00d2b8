#include "runtime/engine/clip_shape.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/engine/check.h"
#include "runtime/engine/find_stage.h"

namespace zoetrope {
namespace {

constexpr int64_t kMostWindows = 64;  // how often longer than the model knows

int64_t ceil_div64(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Halves to even, as Python rounds.
int64_t round_div64(int64_t a, int64_t b) {
  const int64_t whole = a / b, rest = 2 * (a % b);
  return whole + (rest > b || (rest == b && whole % 2 != 0));
}

bool accepts(const Range& range, int64_t value) {
  return value >= range.min && value <= range.max && (value - range.offset) % range.multiple == 0;
}

// Brings the ends to values that are accepted; false: there are none.
bool has_values(Range* range) {
  const auto from_offset = [&](int64_t value) {
    return (value - range->offset) / range->multiple * range->multiple + range->offset;
  };
  const int64_t low =
      range->min <= range->offset ? range->offset : from_offset(range->min + range->multiple - 1);
  if (range->max < low) return false;
  *range = {low, from_offset(range->max), range->multiple, range->preferred, range->offset};
  return true;
}

Result<int64_t> pick(const char* what, const Range& range, int64_t asked) {
  if (asked == 0) return range.preferred;
  if (accepts(range, asked)) return asked;
  return error(Code::kInvalidArgument, what, " ", asked, ": this model makes ", range.min, " to ",
               range.max, range.multiple > 1 ? str(" in steps of ", range.multiple) : std::string(),
               "; the nearest is ", nearest_in_range(range, asked));
}

// Of sound alone every length goes, to a sample.
Result<int64_t> pick_samples(const Recipe& recipe, const ClipRequest& request) {
  ZT_RETURN_IF_ERROR(frames_range(recipe, request).status());  // no loops, no windows but its own
  const ClipSpec& clip = recipe.clip;
  const auto of_frames = [&](int64_t frames) {
    return samples_of_frames(frames, clip.sample_rate, fps_of(recipe, request));
  };
  if (request.samples == 0 && request.seconds == 0) {
    ZT_ASSIGN_OR_RETURN(const int64_t frames, pick("frames", clip.frames, request.frames));
    return of_frames(frames);
  }
  const int64_t longest = of_frames(clip.frames.max);
  const double asked = request.samples != 0 ? static_cast<double>(request.samples)
                                            : request.seconds * clip.sample_rate;
  if (!(asked >= 0.5) || asked > static_cast<double>(longest) + 0.5)
    return error(Code::kInvalidArgument, "a length of ", asked / clip.sample_rate,
                 " s: this model makes sound of up to ",
                 static_cast<double>(longest) / clip.sample_rate, " s");
  return std::llround(asked);
}

Result<int64_t> pick_frames(const Recipe& recipe, const ClipRequest& request) {
  ZT_ASSIGN_OR_RETURN(const Range range, frames_range(recipe, request));
  const LatentSpec* picture = recipe.picture();
  if (picture != nullptr && picture->media == Modality::kImage) {
    if (request.seconds != 0 || request.frames > 1)
      return error(Code::kInvalidArgument, "this model makes pictures, which have no length");
    return 1;
  }
  if (request.seconds == 0) return pick("frames", range, request.frames);
  const int fps = fps_of(recipe, request);
  const double longest = static_cast<double>(range.max) / fps;
  if (!(request.seconds > 0) || request.seconds > longest + 1e-9)
    return error(Code::kInvalidArgument, "seconds ", request.seconds,
                 ": this model makes clips of up to ", longest, " s");
  // A duration is rounded to whole frames that the model can make.
  return nearest_in_range(range, std::llround(request.seconds * fps));
}

// Whole latents of picture and sound: what a ring is made of.
Result<Range> loop_range(const Recipe& recipe, int fps) {
  const LatentSpec* picture = recipe.picture();
  if (picture == nullptr || picture->media != Modality::kVideo)
    return error(Code::kUnsupported, "this model makes no clips that could loop");
  if (picture->first_frames != picture->later_frames)
    return error(Code::kUnsupported, "this model's clips have a beginning, whose latent is of ",
                 picture->first_frames, " where the others are of ", picture->later_frames,
                 " frames, so that none is a loop by itself; it takes ", given_media(recipe));
  if (find_stage<ResampleLatents>(recipe) != nullptr)
    return error(Code::kUnsupported,
                 "this model makes its latents larger from a clip's beginning to its end, so that "
                 "none is a loop; it takes ",
                 given_media(recipe));
  for (const Stage& stage : recipe.stages)
    if (const auto* decode = std::get_if<DecodeVideo>(&stage); decode && !decode->first.empty())
      return error(Code::kUnsupported,
                   "this model's decoder goes from a clip's beginning to its end; it takes ",
                   given_media(recipe));
  int64_t step = picture->later_frames;
  if (const LatentSpec* sound = recipe.sound()) {
    const int64_t latent = int64_t{fps} * sound->samples;
    step *= latent / std::gcd(latent, step * recipe.clip.sample_rate);
  }
  // Of the recipe's lengths those that are whole steps.
  Range range = recipe.clip.frames;
  const int64_t all = std::lcm(step, range.multiple);
  int64_t first = 0;
  while (first < all && (first - range.offset) % range.multiple != 0) first += step;
  const int64_t least = 2 * int64_t{picture->later_frames};  // one latent has no neighbour
  range = {std::max(range.min, least), range.max, all, range.preferred, first};
  if (first == all || !has_values(&range))
    return error(Code::kUnsupported, "a loop of this model takes steps of ", step,
                 " frames, which none of its lengths is: ", recipe.clip.frames.min, " to ",
                 recipe.clip.frames.max, " in steps of ", recipe.clip.frames.multiple, " from ",
                 recipe.clip.frames.offset);
  range.preferred = nearest_in_range(range, range.preferred);
  return range;
}

// Frames that a request's windows may have: two latents, as one shares none with its neighbour, to
// what the network sees at once.
Result<Range> window_range(const Recipe& recipe) {
  const LatentSpec& picture = *recipe.picture();
  Range range = recipe.clip.frames;
  range.min = std::max<int64_t>(range.min, picture.first_frames + 1);
  const Denoise* denoise = recipe.denoise();
  if (denoise != nullptr && denoise->windows.length > 0)
    range.max = std::min(range.max, frames_of_latents(picture, denoise->windows.length));
  if (!has_values(&range))
    return error(Code::kUnsupported, "two latents, of at least ", picture.first_frames + 1,
                 " frames, are more than this model sees at once: it sees no clip in windows");
  return range;
}

// The request's windows, of which neighbours share half, so that what is shown is handed on, or the
// recipe's.
void fix_windows(const Recipe& recipe, const ClipRequest& request, ClipShape* shape) {
  const Denoise* denoise = recipe.denoise();
  if (denoise == nullptr) return;
  int64_t length = denoise->windows.length, overlap = denoise->windows.overlap;
  if (request.window > 0) {
    length = latents_of_frames(*recipe.picture(), request.window);
    overlap = std::max<int64_t>(length / 2, 1);
  }
  if (length == 0 || length >= shape->along_time()) return;
  shape->window = length;
  shape->overlap = std::min(overlap, length - 1);
}

}  // namespace

int fps_of(const Recipe& recipe, const ClipRequest& request) {
  return request.fps > 0 ? request.fps : recipe.clip.fps;
}

Result<Range> frames_range(const Recipe& recipe, const ClipRequest& request) {
  Range range = recipe.clip.frames;
  if (request.loop) {
    ZT_ASSIGN_OR_RETURN(range, loop_range(recipe, fps_of(recipe, request)));
  }
  if (request.window == 0) return range;
  if (recipe.picture() == nullptr || recipe.picture()->media != Modality::kVideo)
    return error(Code::kUnsupported, "this model makes no clips that could be seen in windows");
  if (recipe.picture()->period > 0)
    return error(Code::kUnsupported,
                 "this model's latents come in groups, whose first ones are other ones: it sees no "
                 "clip in windows");
  ZT_ASSIGN_OR_RETURN(const Range at_once, window_range(recipe));
  if (!accepts(at_once, request.window))
    return error(Code::kInvalidArgument, "a window of ", request.window,
                 " frames: this model sees ", at_once.min, " to ", at_once.max,
                 " at once; the nearest is ", nearest_in_range(at_once, request.window));
  range.max = range.max * kMostWindows / range.multiple * range.multiple + range.offset;
  return range;
}

int64_t nearest_in_range(const Range& range, int64_t value) {
  const auto step = [&](int64_t v, int64_t round) {  // the last accepted value up to v + round
    return (v + round - range.offset) / range.multiple * range.multiple + range.offset;
  };
  // min and max need not be accepted themselves; `preferred` always is.
  const int64_t low = step(range.min, range.multiple - 1), high = step(range.max, 0);
  return std::clamp(step(std::clamp(value, low, high), range.multiple / 2), low, high);
}

int64_t latents_of_frames(const LatentSpec& spec, int64_t frames) {
  int64_t before = 0;
  if (spec.period > 0) {  // whole periods first
    const int64_t whole = (frames - 1) / frames_of_latents(spec, spec.period);
    before = whole * spec.period;
    frames -= whole * frames_of_latents(spec, spec.period);
  }
  return before + 1 +
         ceil_div64(std::max<int64_t>(frames - spec.first_frames, 0), spec.later_frames);
}

int64_t frames_of_latents(const LatentSpec& spec, int64_t latents) {
  const auto of = [&](int64_t n) {
    return n == 0 ? 0 : spec.first_frames + (n - 1) * spec.later_frames;
  };
  if (spec.period == 0) return of(latents);
  return latents / spec.period * of(spec.period) + of(latents % spec.period);
}

Result<ClipShape> resolve_clip_shape(const Recipe& recipe, const ClipRequest& request) {
  ClipShape shape;
  shape.loop = request.loop;
  const int fps = fps_of(recipe, request);
  if ((request.frames != 0) + (request.seconds != 0) + (request.samples != 0) > 1)
    return error(Code::kInvalidArgument, "give either frames or seconds, not both");
  if (request.samples != 0 && !recipe.sound_alone())
    return error(Code::kInvalidArgument, "a length of ", request.samples,
                 " samples: this model makes pictures, of so many frames or seconds");
  ZT_ASSIGN_OR_RETURN(shape.width, pick("width", recipe.clip.width, request.width));
  ZT_ASSIGN_OR_RETURN(shape.height, pick("height", recipe.clip.height, request.height));
  if (recipe.sound_alone()) {
    ZT_ASSIGN_OR_RETURN(shape.samples, pick_samples(recipe, request));
    shape.frames = frames_of_samples(shape.samples, recipe.clip.sample_rate, fps);
  } else {
    ZT_ASSIGN_OR_RETURN(shape.frames, pick_frames(recipe, request));
  }
  if (const LatentSpec* picture = recipe.picture()) {
    shape.latent_frames =
        picture->media == Modality::kImage ? 1 : latents_of_frames(*picture, shape.frames);
    shape.latent_height = ceil_div64(shape.height, picture->pixels);
    shape.latent_width = ceil_div64(shape.width, picture->pixels);
  }
  if (const LatentSpec* sound = recipe.sound()) {
    const int64_t samples =
        recipe.sound_alone() ? shape.samples * fps : shape.frames * recipe.clip.sample_rate;
    shape.samples = samples / fps;  // those were times fps
    const int64_t latent = int64_t{fps} * sound->samples;
    shape.sound_latents = sound->nearest ? std::max<int64_t>(round_div64(samples, latent), 1)
                                         : ceil_div64(samples, latent);
  }
  fix_windows(recipe, request, &shape);
  return shape;
}

ClipShape reduced_shape(ClipShape shape, Reduced by) {
  for (int64_t* side : {&shape.width, &shape.height, &shape.latent_width, &shape.latent_height})
    *side = by.of(*side);
  return shape;
}

Shape denoised_shape(const Denoise& stage, const LatentSpec& spec, const ClipShape& clip,
                     int64_t rows) {
  const ClipShape shape = reduced_shape(clip, stage.reduced);
  if (spec.media != Modality::kVideo) return latent_shape(spec, shape, rows);
  return latent_shape(spec, shape, rows, shape.latent_frames + shape.key_frames);
}

int64_t latents_along_time(const LatentSpec& spec, const ClipShape& clip) {
  return spec.media == Modality::kImage   ? 1
         : spec.media == Modality::kSound ? clip.sound_latents
                                          : clip.latent_frames;
}

Shape latent_shape(const LatentSpec& spec, const ClipShape& clip, int64_t rows) {
  return latent_shape(spec, clip, rows, latents_along_time(spec, clip));
}

Shape latent_shape(const LatentSpec& spec, const ClipShape& clip, int64_t rows, int64_t time) {
  switch (spec.media) {
    case Modality::kImage: return {rows, clip.latent_height, clip.latent_width, spec.channels};
    case Modality::kVideo:
      return {rows, time, clip.latent_height, clip.latent_width, spec.channels};
    case Modality::kSound: return {rows, time, spec.channels};
  }
  return {};
}

}  // namespace zoetrope
