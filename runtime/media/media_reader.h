// Pictures, clips and sound from files, for conditioning.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

struct ReadRequest {
  int64_t width = 0, height = 0;  // frames are scaled to cover this and cropped at the centre
  int fps = 0;                    // frames are picked at this rate; 0: as they come
  int64_t first_frame = 0;        // of the picked frames; negative counts from the end
  int64_t max_frames = 0;         // 0: no video wanted
  int sample_rate = 0;            // 0: no sound wanted
  int channels = 0;
  int64_t max_samples = 0;  // a channel
};

struct Media {
  std::vector<uint8_t> pixels;  // [frames, height, width, 3] RGB
  int64_t frames = 0;
  std::vector<float> samples;  // interleaved
};

// Through FFmpeg's libraries. Errors name the file and what is missing in it.
Result<Media> read_media(const std::string& path, const ReadRequest& request);

}  // namespace zoetrope
