// An animated picture as frames that are drawn on one canvas: what WebP and APNG share.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace zoetrope {

// What becomes of a frame's rectangle before the next one is drawn.
enum class Disposal {
  kKeep,
  kClear,   // transparent
  kRevert,  // as it was before the frame
};

struct AnimationFrame {
  int64_t x = 0, y = 0, width = 0, height = 0;
  double seconds = 0;
  bool blend = true;  // over what is there; else it replaces its rectangle
  Disposal disposal = Disposal::kKeep;
  std::vector<std::span<const uint8_t>> data;  // parts of the file that are this frame's alone
};

// Views of the file, which outlives it.
struct Animation {
  int64_t width = 0, height = 0;
  std::vector<AnimationFrame> frames;
  // A picture file of one frame alone, made when it is drawn: what all frames share is held once.
  std::function<std::vector<uint8_t>(const AnimationFrame&)> still;
};

// Browsers take delays of up to 10 ms for none given, and show such frames for 100 ms.
inline double shown_seconds(double stated) { return stated > 0.0101 ? stated : 0.1; }

}  // namespace zoetrope
