// The size of what comes out, in pixels, frames and samples, and of its latents.
#pragma once

#include <cstdint>

#include "graph/format/recipe.h"
#include "graph/shape.h"

namespace zoetrope {

struct ClipShape {
  int64_t width = 0, height = 0;
  // Of a video, as asked for; 1 of a picture. Of sound alone: frames that the model would see of a
  // clip as long.
  int64_t frames = 0;
  int64_t samples = 0;  // of sound, a channel; 0 without
  int64_t latent_frames = 0, latent_height = 0, latent_width = 0;
  int64_t sound_latents = 0;
  int64_t key_frames = 0;    // latents of single frames behind the clip's while it is denoised
  int64_t end_pictures = 0;  // at the first and the last frame, beside the clip's latents
  // Latents along time that one call of the network sees, and how many of them its neighbour sees
  // too; 0: all.
  int64_t window = 0, overlap = 0;
  bool loop = false;  // behind the last latent comes the first

  // Positions of the picture's latents while they are denoised, or of the sound's where there is no
  // picture.
  int64_t latents() const {
    const int64_t picture = (latent_frames + key_frames) * latent_height * latent_width;
    return picture > 0 ? picture : sound_latents;
  }
  // Those of the picture along time, or of the sound where there is no picture: what windows are
  // of.
  int64_t along_time() const { return latent_frames > 0 ? latent_frames : sound_latents; }
};

// What the user may leave open: 0 takes the recipe's preferred value. Lengths are given one way.
struct ClipRequest {
  int64_t width = 0, height = 0, frames = 0;
  double seconds = 0;
  bool loop = false;  // without an end: behind the last frame comes the first
  // Frames that the network sees at once, where the clip may be longer than the recipe knows; 0:
  // the recipe's windows, if it has any, or all.
  int64_t window = 0;
  int fps = 0;          // of a source clip, whose rate stays; 0: the recipe's
  int64_t samples = 0;  // of models that make sound alone
};

// Frames a second of what is made.
int fps_of(const Recipe& recipe, const ClipRequest& request);

// Lengths that such a clip may have, in frames. kUnsupported: the model makes no loops.
Result<Range> frames_range(const Recipe& recipe, const ClipRequest& request);

// Errors say which values the model accepts and the nearest one to what was asked.
Result<ClipShape> resolve_clip_shape(const Recipe& recipe, const ClipRequest& request);

// The value of the range that is nearest to `value`.
int64_t nearest_in_range(const Range& range, int64_t value);

// Whole samples, a channel, of the time that `frames` frames last, and the least frames that last
// as long as `samples` samples.
inline int64_t samples_of_frames(int64_t frames, int sample_rate, int fps) {
  return frames * sample_rate / fps;
}
inline int64_t frames_of_samples(int64_t samples, int sample_rate, int fps) {
  return (samples * fps + sample_rate - 1) / sample_rate;
}

// Latents that `frames` frames take, and frames that `latents` latents give.
int64_t latents_of_frames(const LatentSpec& spec, int64_t frames);
int64_t frames_of_latents(const LatentSpec& spec, int64_t latents);

// The clip whose rows and columns, of pixels and of latents, are so much fewer.
ClipShape reduced_shape(ClipShape shape, Reduced by);

// Latents of a stream along time.
int64_t latents_along_time(const LatentSpec& spec, const ClipShape& clip);

// A stream's latents for `rows` samples of the clip.
Shape latent_shape(const LatentSpec& spec, const ClipShape& clip, int64_t rows);
// The same with another extent along time.
Shape latent_shape(const LatentSpec& spec, const ClipShape& clip, int64_t rows, int64_t time);
// While a stage denoises them: reduced, and with the key frames' behind them.
Shape denoised_shape(const Denoise& stage, const LatentSpec& spec, const ClipShape& clip,
                     int64_t rows);

}  // namespace zoetrope
