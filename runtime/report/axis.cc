#include "runtime/report/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace zoetrope {
namespace {

std::string digits(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

std::string scaled(double value, double base, const char* const* units, int count,
                   const char* space) {
  int unit = 0;
  for (; unit + 1 < count && std::fabs(value) >= base * (1 - 1e-9); ++unit) value /= base;
  return digits(value) + (*units[unit] ? space : "") + units[unit];
}

// The smallest of 1, 2, 5, 10 times a power of ten that is at least `value`.
double nice_at_least(double value) {
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (double factor : {1.0, 2.0, 5.0})
    if (factor * power >= value * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

// What ticks are round multiples of, at this size of values.
double unit_size(Unit unit, double largest) {
  double size = 1;
  if (unit == Unit::kBytes)
    while (size * 1024 <= largest && size < 0x1p50) size *= 1024;
  if (unit == Unit::kSeconds && largest >= 120) size = 60;
  if (unit == Unit::kSeconds && largest >= 7200) size = 3600;
  return size;
}

}  // namespace

std::string format_tick(Unit unit, double value) {
  constexpr const char* kBytes[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  constexpr const char* kNumbers[] = {"", "k", "M", "G", "T", "P", "E"};
  const double size = std::fabs(value);
  switch (unit) {
    case Unit::kBytes: return scaled(value, 1024, kBytes, 6, " ");
    case Unit::kPercent: return digits(100 * value) + "%";
    case Unit::kSeconds:
      if (size == 0) return "0 s";
      if (size < 0.9995e-3) return digits(value * 1e6) + " µs";
      if (size < 0.9995) return digits(value * 1e3) + " ms";
      if (size < 120) return digits(value) + " s";
      if (size < 7200) return digits(value / 60) + " min";
      return digits(value / 3600) + " h";
    case Unit::kNumber:
      if (size >= 0.01 || size == 0) return scaled(value, 1000, kNumbers, 7, "");
      return digits(value);
  }
  return {};
}

AxisRange::AxisRange(const Axis& axis, const std::vector<double>& values, bool from_zero)
    : scale_(axis.scale) {
  bool any = false;
  for (double v : values) {
    if (!std::isfinite(v) || (scale_ == Scale::kLog && v <= 0)) continue;
    low_ = any ? std::min(low_, v) : v;
    high_ = any ? std::max(high_, v) : v;
    any = true;
  }
  if (!any) {
    low_ = scale_ == Scale::kLog ? 1 : 0;
    high_ = scale_ == Scale::kLog ? 10 : 1;
  }
  if (scale_ == Scale::kLog) {
    log_ticks();
  } else {
    if (from_zero && low_ > 0) low_ = 0;
    if (from_zero && high_ < 0) high_ = 0;
    if (low_ == high_) {
      const double wide = low_ == 0 ? 1 : std::fabs(low_) * 0.5;
      if (low_ != 0) low_ -= wide;
      high_ += wide;
      if (from_zero && low_ > 0) low_ = 0;
    }
    linear_ticks(axis.unit);
  }
}

void AxisRange::linear_ticks(Unit unit) {
  const double size = unit_size(unit, std::max(std::fabs(low_), std::fabs(high_)));
  const double step = size * nice_at_least((high_ / size - low_ / size) / 5);
  const double first = std::floor(low_ / step * (1 + 1e-12)),
               last = std::ceil(high_ / step * (1 - 1e-12));
  for (double i = first; i <= last && ticks_.size() < 20; ++i) ticks_.push_back(i * step);
  low_ = ticks_.front();
  high_ = ticks_.back();
}

// Powers of ten, every second, third, ... where there are many; 1, 2 and 5 where there are few.
void AxisRange::log_ticks() {
  const double from = std::floor(std::log10(low_) + 1e-9);
  const double to = std::max(std::ceil(std::log10(high_) - 1e-9), from + 1);
  const double step = std::max(1.0, std::ceil((to - from) / 7));
  const bool fine = to - from <= 2;
  for (double power = from; power <= to; power += step)
    for (double factor : {1.0, 2.0, 5.0})
      if ((factor == 1 || fine) && (power < to || factor == 1))
        ticks_.push_back(factor * std::pow(10, power));
  low_ = std::pow(10, from);
  high_ = std::pow(10, to);
}

bool AxisRange::shows(double value) const {
  return std::isfinite(value) && (scale_ == Scale::kLinear || value > 0);
}

double AxisRange::place(double value) const {
  const double at = scale_ == Scale::kLog ? (std::log10(value) - std::log10(low_)) /
                                                (std::log10(high_) - std::log10(low_))
                                          : (value - low_) / (high_ - low_);
  return std::clamp(at, 0.0, 1.0);
}

}  // namespace zoetrope
