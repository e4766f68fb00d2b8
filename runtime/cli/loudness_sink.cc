#include "runtime/cli/loudness_sink.h"

#include <cmath>
#include <cstdio>

#include "runtime/media/loudness.h"

namespace zoetrope {
namespace {

std::string decibels(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

}  // namespace

Status LoudnessSink::audio(const float* samples, int64_t count) {
  if (target_ == 0) return out_.audio(samples, count);
  held_.insert(held_.end(), samples, samples + count * channels_);
  return Status();
}

Status LoudnessSink::finish() {
  if (held_.empty()) return Status();
  ZT_ASSIGN_OR_RETURN(const Loudness found, measure_loudness(held_, rate_, channels_));
  const double factor = loudness_factor(found, target_);
  for (float& x : held_) x *= static_cast<float>(factor);
  const double reached = found.integrated + 20 * std::log10(factor);
  notice_ = !std::isfinite(found.integrated) || found.integrated <= -70
                ? "the sound is silent, and stays so"
                : str("loudness ", decibels(found.integrated), " LUFS, now ", decibels(reached),
                      reached < target_ - 0.05
                          ? " (peaks stay 1 dB below full scale, so that it is not louder)"
                          : "");
  return out_.audio(held_.data(), static_cast<int64_t>(held_.size()) / channels_);
}

}  // namespace zoetrope
