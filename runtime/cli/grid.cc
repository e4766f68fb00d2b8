#include "runtime/cli/grid.h"

#include <cstring>

namespace zoetrope {

GridSink::GridSink(int64_t count, int64_t width, int64_t height, ClipSink& out)
    : count_(count), width_(width), height_(height), out_(out) {
  while (columns_ * columns_ < count_) ++columns_;
}

Status GridSink::frames(const uint8_t* pixels, int64_t count) {
  if (pixels_.empty()) pixels_.resize(static_cast<size_t>(this->width() * this->height() * 3));
  for (int64_t i = 0; i < count; ++i, ++next_) {
    ZT_CHECK(next_ < count_);
    const int64_t left = next_ % columns_ * width_, top = next_ / columns_ * height_;
    for (int64_t y = 0; y < height_; ++y)
      std::memcpy(pixels_.data() + ((top + y) * this->width() + left) * 3,
                  pixels + (i * height_ + y) * width_ * 3, static_cast<size_t>(width_ * 3));
  }
  return Status();
}

Status GridSink::audio(const float* samples, int64_t count) { return out_.audio(samples, count); }

Status GridSink::finish() { return out_.frames(pixels_.data(), 1); }

}  // namespace zoetrope
