// How well a clip plays in a loop: how far its last frame is from its first, beside how far its
// neighbours are from each other.
#pragma once

#include <vector>

#include "runtime/engine/request.h"

namespace zoetrope {

class LoopMeasure : public ClipSink {
 public:
  // Of frames of so many bytes; passes everything on to `out`.
  LoopMeasure(int64_t frame_bytes, ClipSink& out) : frame_bytes_(frame_bytes), out_(out) {}

  Status frames(const uint8_t* pixels, int64_t count) override;
  Status audio(const float* samples, int64_t count) override { return out_.audio(samples, count); }

  // Mean absolute differences a value, of 255. Fewer than two frames: 0.
  double last_to_first() const;
  double neighbours() const;  // over the clip
  int64_t count() const { return count_; }

 private:
  const int64_t frame_bytes_;
  ClipSink& out_;
  std::vector<uint8_t> first_, last_;
  double sum_ = 0;  // of neighbours' differences
  int64_t count_ = 0;
};

}  // namespace zoetrope
