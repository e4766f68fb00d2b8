// How well a clip plays in a loop, and across the seams of what it was made of in pieces: how far
// its last frame is from its first, and neighbours at seams from each other, beside all neighbours.
#pragma once

#include <utility>
#include <vector>

#include "runtime/engine/request.h"

namespace zoetrope {

class LoopMeasure : public ClipSink {
 public:
  // Of frames of so many bytes; passes everything on to `out`.
  LoopMeasure(int64_t frame_bytes, ClipSink& out) : frame_bytes_(frame_bytes), out_(out) {}

  // Frames [first, last] that stand where two pieces join.
  void watch(std::vector<std::pair<int64_t, int64_t>> seams) { seams_ = std::move(seams); }

  Status frames(const uint8_t* pixels, int64_t count) override;
  Status audio(const float* samples, int64_t count) override { return out_.audio(samples, count); }

  // Mean absolute differences a value, of 255. Fewer than two frames: 0.
  double last_to_first() const;
  double neighbours() const;  // over the clip
  double most_of_neighbours() const { return most_; }
  double at_seams() const { return seam_count_ == 0 ? 0 : seam_sum_ / seam_count_; }
  double elsewhere() const;
  int64_t count() const { return count_; }

 private:
  const int64_t frame_bytes_;
  ClipSink& out_;
  std::vector<uint8_t> first_, last_;
  double sum_ = 0, most_ = 0;  // of neighbours' differences
  int64_t count_ = 0;
  std::vector<std::pair<int64_t, int64_t>> seams_;
  double seam_sum_ = 0;
  int seam_count_ = 0;
};

}  // namespace zoetrope
