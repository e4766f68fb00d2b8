#include "runtime/cli/loop_measure.h"

#include <algorithm>
#include <cstdlib>
#include <span>

namespace zoetrope {
namespace {

double difference(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  int64_t sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(int{a[i]} - int{b[i]});
  return static_cast<double>(sum) / static_cast<double>(a.size());
}

}  // namespace

Status LoopMeasure::frames(const uint8_t* pixels, int64_t count) {
  const auto size = static_cast<size_t>(frame_bytes_);
  for (int64_t i = 0; i < count && size > 0; ++i) {
    const std::span<const uint8_t> frame(pixels + static_cast<size_t>(i) * size, size);
    if (first_.empty()) {
      first_.assign(frame.begin(), frame.end());
    } else {
      const double apart = difference(frame, last_);
      sum_ += apart;
      most_ = std::max(most_, apart);
      if (std::any_of(seams_.begin(), seams_.end(), [&](const auto& seam) {
            return count_ >= seam.first && count_ <= seam.second;
          })) {
        seam_sum_ += apart;
        ++seam_count_;
      }
    }
    last_.assign(frame.begin(), frame.end());
    ++count_;
  }
  return out_.frames(pixels, count);
}

double LoopMeasure::last_to_first() const { return count_ < 2 ? 0 : difference(last_, first_); }

double LoopMeasure::neighbours() const {
  return count_ < 2 ? 0 : sum_ / static_cast<double>(count_ - 1);
}

double LoopMeasure::elsewhere() const {
  const auto others = static_cast<double>(count_ - 1 - seam_count_);
  return others < 1 ? 0 : (sum_ - seam_sum_) / others;
}

}  // namespace zoetrope
