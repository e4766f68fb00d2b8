#include "bench/stats.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace zoetrope::bench {

double quantile(std::span<const double> sorted, double q) {
  if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  if (below + 1 >= sorted.size()) return sorted.back();
  const double part = at - static_cast<double>(below);
  return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

Spread spread_of(std::vector<double> samples) {
  Spread s;
  if (samples.empty()) return s;
  std::sort(samples.begin(), samples.end());
  s.samples = static_cast<int>(samples.size());
  s.median = quantile(samples, 0.5);
  s.p10 = quantile(samples, 0.1);
  s.p90 = quantile(samples, 0.9);
  s.least = samples.front();
  for (double& sample : samples) sample = std::abs(sample - s.median);
  std::sort(samples.begin(), samples.end());
  s.mad = quantile(samples, 0.5);
  return s;
}

PowerFit fit_power(std::span<const std::pair<double, double>> points) {
  PowerFit fit;
  const auto n = static_cast<double>(points.size());
  double sx = 0, sy = 0;
  for (const auto& [x, y] : points) {
    if (!(x > 0) || !(y > 0)) return fit;
    sx += std::log(x), sy += std::log(y);
  }
  if (points.empty()) return fit;
  const double mx = sx / n, my = sy / n;
  double xx = 0, xy = 0, yy = 0;
  for (const auto& [x, y] : points) {
    const double dx = std::log(x) - mx, dy = std::log(y) - my;
    xx += dx * dx, xy += dx * dy, yy += dy * dy;
  }
  if (!(xx > 0)) return fit;
  fit.exponent = xy / xx;
  fit.factor = std::exp(my - fit.exponent * mx);
  const double rest = std::max(0.0, yy - fit.exponent * xy);
  fit.r2 = yy > 0 ? 1 - rest / yy : 1;
  if (n > 2) fit.error = std::sqrt(rest / (n - 2) / xx);
  fit.valid = true;
  return fit;
}

Change compare(const Spread& baseline, const Spread& now, double tolerance) {
  if (baseline.samples == 0 || now.samples == 0) return Change::kSame;
  const bool known = baseline.samples >= 3 && now.samples >= 3;
  const double least = 1 + (known ? tolerance : 3 * tolerance);
  if (now.median > baseline.median * least && (!known || now.p10 > baseline.p90))
    return Change::kSlower;
  if (baseline.median > now.median * least && (!known || baseline.p10 > now.p90))
    return Change::kFaster;
  return Change::kSame;
}

}  // namespace zoetrope::bench
