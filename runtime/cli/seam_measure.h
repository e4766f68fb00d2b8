// How well sound goes on where known and new meet: the step from one sample to the next there,
// beside those around it.
#pragma once

#include <vector>

#include "runtime/engine/request.h"

namespace zoetrope {

class SeamMeasure : public ClipSink {
 public:
  struct Seam {
    int64_t at = 0;               // the sample that comes first behind it
    double step = 0, around = 0;  // of full scale; the largest within 10 ms on either side
  };
  // Passes everything on to `out`. Seams rise.
  SeamMeasure(int rate, int channels, const std::vector<int64_t>& seams, ClipSink& out);

  Status frames(const uint8_t* pixels, int64_t count) override {
    return out_.frames(pixels, count);
  }
  Status audio(const float* samples, int64_t count) override;

  const std::vector<Seam>& seams() const { return seams_; }

 private:
  const int64_t reach_;
  const size_t channels_;
  ClipSink& out_;
  std::vector<Seam> seams_;
  std::vector<float> last_;  // the sample before, a channel
  int64_t at_ = 0;
};

}  // namespace zoetrope
