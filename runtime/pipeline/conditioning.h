// What is already known of a clip: frames and sound at given places. One mechanism for
// image-to-video, first and last frame, extension, joining, video-to-audio and audio-to-video.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/status.h"
#include "runtime/pipeline/clip_shape.h"

namespace zoetrope {

// Pixels [frames, height, width, 3], u8 RGB, at the clip's size.
struct KnownFrames {
  std::vector<uint8_t> pixels;
  int64_t frames = 0;
};

// What the user gives; each may be empty.
struct KnownMedia {
  KnownFrames first;         // one frame: the clip begins with it
  KnownFrames last;          // one frame: the clip ends with it
  KnownFrames before;        // a clip that this one continues: its last frames are the prefix
  KnownFrames after;         // a clip that this one leads to: its first frames are the suffix
  KnownFrames video;         // all frames: make the sound
  std::vector<float> audio;  // all samples, interleaved: make the picture
  // The sound of `before` and of `after`, as long as they are or empty: not known.
  std::vector<float> before_sound, after_sound;

  bool empty() const {
    return first.frames == 0 && last.frames == 0 && before.frames == 0 && after.frames == 0 &&
           video.frames == 0 && !has_sound();
  }
  bool has_sound() const {
    return !audio.empty() || !before_sound.empty() || !after_sound.empty();
  }
};

// Values of the mask channel (models/toybox/train/dit.py): 1 where a latent is known, 0 where not;
// ±0.5 where only the first (+) or last (−) frame of the latent's frames is known, and the known
// latent is that frame encoded alone.
inline constexpr float kMaskKnown = 1.0f;
inline constexpr float kMaskFirstFrame = 0.5f;
inline constexpr float kMaskLastFrame = -0.5f;

// Normalised latents and masks, channels last; zero where unknown.
struct KnownTensors {
  std::vector<float> video, video_mask;  // [T, H, W, C], [T, H, W, 1]
  std::vector<float> audio, audio_mask;  // [A, C], [A, 1]
};

}  // namespace zoetrope
