#include "bench/stats.h"

#include <doctest/doctest.h>
#include <cmath>

namespace zoetrope::bench {
namespace {

// numpy.percentile of [1, 2, 3, 4, 10].
TEST_CASE("a spread has the quantiles that NumPy gives") {
  const Spread s = spread_of({10, 1, 3, 2, 4});
  CHECK(s.median == 3);
  CHECK(s.p10 == doctest::Approx(1.4));
  CHECK(s.p90 == doctest::Approx(7.6));
  CHECK(s.mad == 1);
  CHECK(s.least == 1);
  CHECK(s.samples == 5);
  CHECK(spread_of({2.5}).p90 == 2.5);
  CHECK(spread_of({}).samples == 0);
}

TEST_CASE("the exponent of a power law is found") {
  std::vector<std::pair<double, double>> points;
  for (const double x : {512.0, 1024.0, 2048.0, 14040.0, 32760.0})
    points.emplace_back(x, 3e-9 * std::pow(x, 1.7));
  const PowerFit fit = fit_power(points);
  CHECK(fit.valid);
  CHECK(fit.exponent == doctest::Approx(1.7).epsilon(1e-9));
  CHECK(fit.factor == doctest::Approx(3e-9).epsilon(1e-6));
  CHECK(fit.r2 == doctest::Approx(1));
  CHECK(fit.error < 1e-9);
}

// log2 y = 0, 1.5, 1.5, 3 at log2 x = 0, 1, 2, 3: slope (Σ dx dy) / (Σ dx²) = 4.5 / 5, rests 0.15,
// -0.45, 0.45, -0.15 ... by hand.
TEST_CASE("noise goes into the error of the exponent, not into a bias") {
  const std::vector<std::pair<double, double>> points = {
      {1, 1}, {2, std::pow(2, 1.5)}, {4, std::pow(2, 1.5)}, {8, 8}};
  const PowerFit fit = fit_power(points);
  CHECK(fit.exponent == doctest::Approx(0.9));
  // Σ dy² - slope Σ dx dy = 4.5 - 4.05; over n - 2 and Σ dx².
  CHECK(fit.error == doctest::Approx(std::sqrt(0.45 / 2 / 5)));
  CHECK(fit.r2 == doctest::Approx(0.9));
}

TEST_CASE("no power law is made of one length, or of times that are not above zero") {
  const std::vector<std::pair<double, double>> one = {{512, 1}, {512, 2}}, zero = {{1, 0}, {2, 1}};
  CHECK_FALSE(fit_power(one).valid);
  CHECK_FALSE(fit_power(zero).valid);
  CHECK_FALSE(fit_power({}).valid);
}

TEST_CASE("a change counts beyond the tolerance and beyond both spreads") {
  const Spread base = spread_of({1.00, 1.01, 1.02, 0.99, 1.00});
  CHECK(compare(base, base, 0.05) == Change::kSame);
  // 4% more, however steady.
  CHECK(compare(base, spread_of({1.04, 1.04, 1.04, 1.04}), 0.05) == Change::kSame);
  CHECK(compare(base, spread_of({1.10, 1.11, 1.10, 1.09}), 0.05) == Change::kSlower);
  CHECK(compare(spread_of({1.10, 1.11, 1.10, 1.09}), base, 0.05) == Change::kFaster);
  // 20% more, but its samples reach into the baseline's.
  CHECK(compare(base, spread_of({1.0, 1.0, 1.2, 1.2, 1.4}), 0.05) == Change::kSame);
  CHECK(compare(base, spread_of({1.10, 1.11, 1.10, 1.09}), 0.2) == Change::kSame);
}

TEST_CASE("where no spread is known, three times the tolerance must be passed") {
  CHECK(compare(spread_of({1}), spread_of({1.14}), 0.05) == Change::kSame);
  CHECK(compare(spread_of({1}), spread_of({1.16}), 0.05) == Change::kSlower);
  CHECK(compare(spread_of({}), spread_of({1.16}), 0.05) == Change::kSame);
}

}  // namespace
}  // namespace zoetrope::bench
