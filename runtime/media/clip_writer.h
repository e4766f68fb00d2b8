// Clips to files: frames and sound stream in as they are decoded; the file appears under its name
// only when it is whole.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// What the file says of itself: ("prompt", "a red ball"), ("seed", "7"), ... in UTF-8. MP4, MOV,
// MKV and WebM keep every pair as a tag, PNG as text, WAV what RIFF's INFO has a name for, GIF the
// "comment"; Y4M holds none (readers take headers of 80 bytes).
using ClipTags = std::vector<std::pair<std::string, std::string>>;

struct ClipFormat {
  int64_t width = 0, height = 0;  // 0: there is no picture, but sound alone
  int64_t frames = 0;             // how many will come: 1 makes a still image
  int fps = 1;
  int sample_rate = 0;  // 0: no sound
  int channels = 0;
  int64_t samples = 0;       // how many will come, a channel; 0: not known
  int sample_bits = 16;      // of WAV: 16, 24, or 32 for float
  bool exact_sound = false;  // the sound is a person's own: lossless where the container allows it
  std::string container =
      {};  // "y4m", "wav", ...: for names without an extension; empty: by the name
  ClipTags tags = {};
  // Files whose picture (sound) goes into the clip as it is, without decoding, where the container
  // can hold it. frames() (audio()) then only says how long the clip is.
  std::string copy_picture = {}, copy_sound = {};
};

class ClipWriter {
 public:
  // Dropped without finish(), a writer removes what it has written.
  virtual ~ClipWriter() = default;
  // pixels [count, height, width, 3], u8 RGB.
  virtual Status frames(const uint8_t* pixels, int64_t count) = 0;
  // Interleaved samples in [-1, 1]; `count` a channel.
  virtual Status audio(const float* samples, int64_t count) = 0;
  // One more tag, known only when all is written: before finish(). False: the format (or a pipe)
  // has no place for it any more. MP4 and MOV take it, PNG with its last frame, WAV.
  virtual bool add_tag(const std::string&, const std::string&) { return false; }
  virtual Status finish() = 0;
  // What was written, for people: "H.264 + AAC". Known after creation.
  virtual std::string description() const = 0;
};

// The container is format.container, or follows the path's extension:
//   .mp4 .webm .mkv .mov .gif   through FFmpeg's libraries, loaded on demand
//   .y4m                        uncompressed video; also what "-" (standard output) gets
//   .wav                        sound, uncompressed
//   .png                        one file a frame: a %d pattern in the name is filled in, else
//                               "-0001" goes before the extension (a single frame keeps the name)
// What can be known to fail later fails here: a folder that is missing, a name that is a folder.
Result<std::unique_ptr<ClipWriter>> create_clip_writer(const std::string& path,
                                                       const ClipFormat& format);

// Every file that a clip of so many frames would become; errors as create_clip_writer's, without
// touching anything.
Result<std::vector<std::string>> clip_files(const std::string& path, const ClipFormat& format);

// Whether that clip's file would hold sound; and the extensions of those that do.
inline constexpr const char* kSoundExtensions = ".wav, .mp4, .mov, .mkv or .webm";
Result<bool> takes_sound(const std::string& path, const ClipFormat& format);

// ".mp4, .webm, ..."
std::string known_clip_extensions();

}  // namespace zoetrope
