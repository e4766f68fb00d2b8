#include "runtime/cli/seam_measure.h"

#include <algorithm>
#include <cmath>

namespace zoetrope {
namespace {

constexpr int kReachesInSecond = 100;  // 10 ms

}  // namespace

SeamMeasure::SeamMeasure(int rate, int channels, const std::vector<int64_t>& seams, ClipSink& out)
    : reach_(rate / kReachesInSecond), channels_(static_cast<size_t>(channels)), out_(out) {
  for (const int64_t at : seams) seams_.push_back({at});
}

Status SeamMeasure::audio(const float* samples, int64_t count) {
  for (int64_t i = 0; i < count && !seams_.empty(); ++i, ++at_) {
    const float* one = samples + static_cast<size_t>(i) * channels_;
    double step = 0;
    for (size_t c = 0; c < last_.size(); ++c)
      step = std::max(step, double(std::abs(one[c] - last_[c])));
    last_.assign(one, one + channels_);
    for (Seam& seam : seams_)
      if (at_ == seam.at)
        seam.step = step;
      else if (std::abs(at_ - seam.at) <= reach_)
        seam.around = std::max(seam.around, step);
  }
  return out_.audio(samples, count);
}

}  // namespace zoetrope
