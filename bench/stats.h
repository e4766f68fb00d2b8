// What is said of repeated measurements, and of two sets of them.
#pragma once

#include <span>
#include <utility>
#include <vector>

namespace zoetrope::bench {

// Of the samples of one row, in their unit (seconds).
struct Spread {
  double median = 0, p10 = 0, p90 = 0;  // quantiles by linear interpolation between samples
  double mad = 0;                       // median of the distances to the median
  double least = 0;
  int samples = 0;  // 0: nothing was measured
};

// Quantile `q` in [0, 1] of values that are sorted; NaN of none.
double quantile(std::span<const double> sorted, double q);
Spread spread_of(std::vector<double> samples);

// y = factor · x^exponent, by least squares of log y on log x.
struct PowerFit {
  double exponent = 0, factor = 0;
  double error = 0;    // standard error of the exponent; 0 with two points
  double r2 = 0;       // of the logarithms; 1 where all y are equal
  bool valid = false;  // at least two different x, all above 0
};
PowerFit fit_power(std::span<const std::pair<double, double>> points);

enum class Change { kSame, kSlower, kFaster };
// The rule, for people.
inline constexpr const char* kChangeRule =
    "slower: the median is more than the tolerance above the baseline's, and the two spreads (10th "
    "to 90th percentile) do not touch";
// `tolerance` is a fraction: 0.05. Of fewer than three samples no spread is known: then the median
// must be off by three times the tolerance.
Change compare(const Spread& baseline, const Spread& now, double tolerance);

}  // namespace zoetrope::bench
