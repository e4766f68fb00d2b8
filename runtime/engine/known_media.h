// What is already known of a clip: frames and sound at given places. One mechanism for
// image-to-video, first and last frame, extension, joining, video-to-audio and audio-to-video.
#pragma once

#include <cstdint>
#include <vector>

namespace zoetrope {

// Pixels [frames, height, width, 3], u8 RGB, at the clip's size. Planning reads `frames` alone.
struct KnownFrames {
  std::vector<uint8_t> pixels;
  int64_t frames = 0;
};

// A frame that the clip shows at a time, counted from its first. Of its strength, above 0 and at
// most 1, it stays as it is; what is left is the model's.
struct KeyFrame {
  std::vector<uint8_t> pixels;  // as KnownFrames; planning reads none
  int64_t frame = 0;            // more than 0: `first` is the first
  double strength = 1;
};

// A picture [height, width, 3], u8 RGB, at a size of its own.
struct ReferencePicture {
  std::vector<uint8_t> pixels;  // planning reads none
  int64_t width = 0, height = 0;
};

// What the user gives; each may be empty. Sound is interleaved, at the model's rate.
struct KnownMedia {
  KnownFrames first;          // one frame: the clip begins with it
  double first_strength = 1;  // as of key frames
  KnownFrames last;           // one frame: the clip ends with it
  KnownFrames before;         // a clip that this one continues: its last frames are the prefix
  KnownFrames after;          // a clip that this one leads to: its first frames are the suffix
  KnownFrames video;          // all frames: make the sound
  // All frames of a clip that is made anew, at the clip's size divided by the recipe's scale.
  KnownFrames source;
  std::vector<ReferencePicture> references;  // that the clip shows again
  std::vector<KeyFrame> keys;
  std::vector<float> audio;  // all samples: make the picture
  // The sound of `before` and of `after`, as long as they are or empty: not known.
  std::vector<float> before_sound, after_sound;

  // Whether the clip's first (last) frame is among them, whoever gives it.
  bool has_first() const { return first.frames + before.frames + video.frames > 0; }
  bool has_last() const { return last.frames + after.frames + video.frames > 0; }
  bool has_frames() const { return has_frames_beside_video() || video.frames > 0; }
  bool has_frames_beside_video() const {
    return first.frames > 0 || last.frames > 0 || before.frames > 0 || after.frames > 0 ||
           !keys.empty();
  }
  bool has_sound() const { return !audio.empty() || !before_sound.empty() || !after_sound.empty(); }
  bool empty() const {
    return !has_frames() && !has_sound() && source.frames == 0 && references.empty();
  }
};

}  // namespace zoetrope
