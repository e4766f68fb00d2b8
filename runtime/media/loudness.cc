#include "runtime/media/loudness.h"

#include <algorithm>
#include <cmath>

namespace zoetrope {
namespace {

constexpr double kSilence = -70;     // EBU R128's absolute gate
constexpr double kHighestPeak = -1;  // dBTP, as EBU R128 recommends

}  // namespace

double loudness_factor(const Loudness& loudness, double target) {
  if (!(loudness.integrated > kSilence)) return 1;
  const double gain = std::min(target - loudness.integrated, kHighestPeak - loudness.true_peak);
  return std::pow(10, gain / 20);
}

}  // namespace zoetrope
