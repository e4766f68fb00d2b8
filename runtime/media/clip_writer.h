// Clips to files: frames and sound stream in as they are decoded; the file appears under its name
// only when it is whole.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

struct ClipFormat {
  int64_t width = 0, height = 0;
  int64_t frames = 0;  // how many will come: 1 makes a still image
  int fps = 1;
  int sample_rate = 0;  // 0: no sound
  int channels = 0;
};

class ClipWriter {
 public:
  // Dropped without finish(), a writer removes what it has written.
  virtual ~ClipWriter() = default;
  // pixels [count, height, width, 3], u8 RGB.
  virtual Status frames(const uint8_t* pixels, int64_t count) = 0;
  // Interleaved samples in [-1, 1]; `count` a channel.
  virtual Status audio(const float* samples, int64_t count) = 0;
  virtual Status finish() = 0;
  // What was written, for people: "H.264 + AAC". Known after creation.
  virtual std::string description() const = 0;
};

// The container follows the path's extension:
//   .mp4 .webm .mkv .mov .gif   through FFmpeg's libraries, loaded on demand
//   .y4m                        uncompressed video
//   .wav                        16-bit sound
//   .png                        one file a frame: a %d pattern in the name is filled in, else
//                               "-0001" goes before the extension (a single frame keeps the name)
Result<std::unique_ptr<ClipWriter>> create_clip_writer(const std::string& path,
                                                       const ClipFormat& format);

// ".mp4, .webm, ..."
std::string known_clip_extensions();

}  // namespace zoetrope
