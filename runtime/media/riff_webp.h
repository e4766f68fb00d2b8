// The frames of an animated WebP file (RIFF container, "WebP Container Specification").
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

struct WebpFrame {
  int64_t x = 0, y = 0, width = 0, height = 0;
  int milliseconds = 0;
  bool blend = true;           // over what is there; else it replaces its rectangle
  bool dispose = false;        // its rectangle becomes transparent afterwards
  std::vector<uint8_t> still;  // a WebP file of this frame alone
};

struct WebpAnimation {
  int64_t width = 0, height = 0;
  std::vector<WebpFrame> frames;
};

bool is_animated_webp(std::span<const uint8_t> file);

// Errors say what is damaged. Frames that a cut file lacks are left out.
Result<WebpAnimation> split_webp(std::span<const uint8_t> file);

}  // namespace zoetrope
