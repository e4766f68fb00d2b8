#include "runtime/engine/stages/bilinear.h"

#include <algorithm>

namespace zoetrope {
namespace {

// Between which two of `count` places one of to / by times as many lies, and how near to the
// second.
struct Between {
  int64_t first, second;
  float part;
};
Between between(int64_t at, int64_t to, int64_t by, int64_t count) {
  const float middle = static_cast<float>((2 * at + 1) * by) / static_cast<float>(2 * to);
  const float place = std::max(middle - 0.5f, 0.0f);
  const auto first = std::min(static_cast<int64_t>(place), count - 1);
  return {first, std::min(first + 1, count - 1), place - static_cast<float>(first)};
}

}  // namespace

void scale_bilinear(std::span<const float> from, int64_t width, int64_t height, int64_t channels,
                    int64_t to, int64_t by, std::span<float> out) {
  if (to == by) {
    std::copy(from.begin(), from.end(), out.begin());
    return;
  }
  float* at = out.data();
  for (int64_t y = 0; y < height * to / by; ++y) {
    const Between row = between(y, to, by, height);
    const float* top = from.data() + row.first * width * channels;
    const float* low = from.data() + row.second * width * channels;
    for (int64_t x = 0; x < width * to / by; ++x) {
      const Between column = between(x, to, by, width);
      const int64_t a = column.first * channels, b = column.second * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float above = top[a + c] + column.part * (top[b + c] - top[a + c]);
        const float below = low[a + c] + column.part * (low[b + c] - low[a + c]);
        *at++ = above + row.part * (below - above);
      }
    }
  }
}

}  // namespace zoetrope
