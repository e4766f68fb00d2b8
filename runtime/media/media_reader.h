// Pictures, clips and sound from files, for conditioning.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/status.h"
#include "runtime/media/resize.h"

namespace zoetrope {

// Pictures come as a viewer shows them: turned as the file says, pixels made square, colours as
// tagged and made sRGB, HDR brought down, transparency laid over `background`. What was decided for
// the person stands in Media::notices.
//
// A "%04d" in the path names a sequence of pictures, counted from the lowest number that exists;
// it plays at `fps`.
struct ReadRequest {
  int64_t width = 0, height = 0;  // 0: the file's own
  Fit fit = Fit::kCover;
  Rgb background{255, 255, 255};
  int fps = 0;              // frames are picked at this rate; 0: as they come
  int64_t first_frame = 0;  // of the picked frames; negative counts from the end
  int64_t max_frames = 0;   // 0: no video wanted
  // Sound begins where the file's clock does, as the picture: one that starts later begins with
  // silence.
  bool sound = false;
  int sample_rate = 0, channels = 0;  // 0: the file's own
  int64_t first_sample = 0;           // a channel
  int64_t max_samples = 0;            // a channel; 0: as many as max_seconds hold
  double max_seconds = 0;
};

struct Media {
  std::vector<uint8_t> pixels;  // [frames, height, width, 3] RGB
  int64_t width = 0, height = 0;
  // Frames a second of the whole file on average, as it says, or else by its first one; 0: it has
  // no time.
  double stated_rate = 0;
  int64_t frames = 0;
  int64_t all_frames = 0;  // of the whole file at `fps`, as far as it was read
  // How the file shows its frames, whatever size they are brought to; how long those that were
  // decoded are shown, and how many come a second.
  int64_t own_width = 0, own_height = 0;
  double seconds = 0, rate = 0;
  bool more_frames = false, more_samples = false;  // the file goes on after what was taken
  std::vector<float> samples;                      // interleaved
  int sample_rate = 0, channels = 0;
  int sample_bits = 16;  // that hold the file's samples: 16, 24, or 32 for float
  std::vector<std::string> notices;
};

// Takes one frame [height, width, 3] RGB; false: no more are wanted.
using FrameSink = std::function<Result<bool>(std::span<const uint8_t> rgb)>;

// Through FFmpeg's libraries. Errors name the file and what is missing in it: kDataLoss where it is
// damaged, kUnsupported where it is sound and cannot be read, kNotFound where the file or what is
// wanted of it is not there.
Result<Media> read_media(const std::string& path, const ReadRequest& request);

// The same without keeping pixels: each frame goes to `sink`.
Result<Media> read_media(const std::string& path, const ReadRequest& request,
                         const FrameSink& sink);

// What a clip, sound or PNG says of itself: ClipFormat::tags as they were written, and others.
// Names as FFmpeg has them.
Result<std::vector<std::pair<std::string, std::string>>> read_tags(const std::string& path);

}  // namespace zoetrope
