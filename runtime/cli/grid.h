// Several pictures as one, side by side.
#pragma once

#include <vector>

#include "runtime/engine/request.h"

namespace zoetrope {

// Rows of as many pictures as the root of their count, rounded up; what is left over is black.
class GridSink : public ClipSink {
 public:
  GridSink(int64_t count, int64_t width, int64_t height, ClipSink& out);
  int64_t width() const { return columns_ * width_; }
  int64_t height() const { return (count_ + columns_ - 1) / columns_ * height_; }

  Status frames(const uint8_t* pixels, int64_t count) override;
  Status audio(const float* samples, int64_t count) override;
  // All pictures came: gives the one that holds them.
  Status finish();

 private:
  const int64_t count_, width_, height_;
  int64_t columns_ = 1, next_ = 0;
  ClipSink& out_;
  std::vector<uint8_t> pixels_;
};

}  // namespace zoetrope
