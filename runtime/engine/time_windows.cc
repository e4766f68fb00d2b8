#include "runtime/engine/time_windows.h"

#include <algorithm>
#include <cmath>

namespace zoetrope {
namespace {

// Where the ring is cut open in a step: any few steps in a row are spread over it evenly.
int64_t opening(int64_t count, int step) {
  constexpr double kGolden = 0.6180339887498949;
  const double turns = step * kGolden;
  return std::min(static_cast<int64_t>(static_cast<double>(count) * (turns - std::floor(turns))),
                  count - 1);
}

// Of the latents that windows are of.
std::vector<int64_t> starts(const ClipShape& clip, int step) {
  const int64_t count = clip.along_time(), windows = count_windows(clip);
  std::vector<int64_t> all;
  for (int64_t i = 0; i < windows; ++i)
    all.push_back(clip.loop ? (opening(count, step) + i * count / windows) % count
                            : std::min(i * (clip.window - clip.overlap), count - clip.window));
  return all;
}

// A latent of the picture as a place among `whole` latents of another stream.
int64_t place(const LatentSpec& picture, int64_t latent, int64_t latents, int64_t whole) {
  const int64_t frame = latent == 0 ? 0 : frames_of_latents(picture, latent);
  const double part =
      static_cast<double>(frame) / static_cast<double>(frames_of_latents(picture, latents));
  return std::llround(part * static_cast<double>(whole));
}

// As long as a window of the picture anywhere in the clip, behind whose first latent all stand for
// as many frames.
int64_t seen_sound(const LatentSpec& picture, const ClipShape& clip) {
  const int64_t frames =
      std::max(frames_of_latents(picture, clip.window), clip.window * picture.later_frames);
  const int64_t all = frames_of_latents(picture, clip.latent_frames);
  return std::min((frames * clip.sound_latents + all - 1) / all, clip.sound_latents);
}

}  // namespace

bool sees_windows(const ClipShape& clip) { return clip.loop || clip.window > 0; }

ClipShape seen_by_call(const Recipe& recipe, const ClipShape& clip) {
  ClipShape seen = clip;
  const LatentSpec* picture = recipe.picture();
  if (clip.window == 0) return seen;
  if (picture == nullptr) {
    seen.sound_latents = clip.window;
    return seen;
  }
  seen.latent_frames = clip.window;
  if (clip.sound_latents > 0) seen.sound_latents = seen_sound(*picture, clip);
  return seen;
}

int64_t count_windows(const ClipShape& clip) {
  if (clip.window == 0) return 1;
  const int64_t step = clip.window - clip.overlap;
  const int64_t covered = clip.along_time() - (clip.loop ? 0 : clip.overlap);
  return std::max<int64_t>((covered + step - 1) / step, 1);
}

std::vector<TimeWindow> windows_of(const Recipe& recipe, const LatentSpec& spec,
                                   const ClipShape& clip, int step) {
  const LatentSpec* picture = recipe.picture();
  const ClipShape seen = seen_by_call(recipe, clip);
  // Of sound that follows a picture's windows.
  const bool sound = spec.media == Modality::kSound && picture != nullptr;
  const bool triangle = recipe.denoise()->windows.weights == Denoise::Windows::Weights::kTriangle;
  const int64_t whole = sound ? clip.sound_latents : clip.along_time();
  const int64_t length = sound ? seen.sound_latents : seen.along_time();
  const double shared = std::max(
      1.0,
      static_cast<double>(clip.overlap) *
          (sound ? static_cast<double>(whole) / static_cast<double>(clip.latent_frames) : 1.0));
  std::vector<TimeWindow> windows;
  std::vector<float> sums(static_cast<size_t>(whole));
  for (const int64_t at : starts(clip, step)) {
    TimeWindow w;
    w.start = sound ? place(*picture, at, clip.latent_frames, whole) : at;
    if (!clip.loop && (at + seen.along_time() == clip.along_time() || w.start + length > whole))
      w.start = whole - length;
    const bool fades_in = length < whole && (clip.loop || w.start > 0);
    const bool fades_out = length < whole && (clip.loop || w.start + length < whole);
    for (int64_t i = 0; i < length; ++i) {
      const double from = static_cast<double>(i) + 0.5, to = static_cast<double>(length) - from;
      double weight = triangle ? 2 * std::min(from, to) / static_cast<double>(length) : 1;
      if (!triangle && fades_in) weight = std::min(weight, from / shared);
      if (!triangle && fades_out) weight = std::min(weight, to / shared);
      // The network takes a call's first latent for a clip's first one, which stands for another
      // number of frames than this: what it makes of it counts where nothing else is there.
      if (fades_in && i == 0 && spec.first_frames != spec.later_frames) weight = 1e-6;
      w.weights.push_back(static_cast<float>(weight));
      sums[static_cast<size_t>((w.start + i) % whole)] += w.weights.back();
    }
    windows.push_back(std::move(w));
  }
  for (TimeWindow& w : windows)
    for (size_t i = 0; i < w.weights.size(); ++i)
      w.weights[i] /= sums[(static_cast<size_t>(w.start) + i) % sums.size()];
  return windows;
}

}  // namespace zoetrope
