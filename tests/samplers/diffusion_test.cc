#include "runtime/samplers/diffusion.h"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/random/normal.h"

using namespace zoetrope;

namespace {

// For data N(0, s²) the best noise prediction is eps = sqrt(1 − a)·x / (a·s² + 1 − a): sampling
// with it must give back the data's deviation.
constexpr double kDeviation = 0.5;

double cumulative_alpha(const DiffusionSpec& spec, int t) {
  double product = 1;
  for (int i = 0; i <= t; ++i)
    product *=
        1 - (spec.beta_first + (spec.beta_last - spec.beta_first) * i / (spec.train_steps - 1));
  return product;
}

NoisePrediction gaussian_noise(const DiffusionSpec& spec, float variance_value) {
  return [spec, variance_value](int t, std::span<const float> x, std::span<float> noise,
                                std::span<float> variance) {
    const double a = cumulative_alpha(spec, t);
    for (size_t i = 0; i < x.size(); ++i)
      noise[i] =
          static_cast<float>(std::sqrt(1 - a) * x[i] / (a * kDeviation * kDeviation + 1 - a));
    for (float& v : variance) v = variance_value;
    return Status();
  };
}

double deviation(std::span<const float> x) {
  double square = 0;
  for (float v : x) square += double{v} * v;
  return std::sqrt(square / static_cast<double>(x.size()));
}

}  // namespace

TEST_CASE("DDIM maps noise to data deterministically, each element by itself") {
  const DiffusionSpec spec;
  std::vector<float> x(20000), again;
  fill_normal(1, 0, 0, x);
  again = x;
  REQUIRE(sample_ddim(spec, 250, gaussian_noise(spec, 0), 5, 0, x).ok());
  REQUIRE(sample_ddim(spec, 250, gaussian_noise(spec, 0), 99, 0, again).ok());
  CHECK(x == again);
  CHECK(deviation(x) == doctest::Approx(kDeviation).epsilon(0.03));
}

TEST_CASE("DDPM with the exact posterior gives the data's spread") {
  DiffusionSpec spec;
  std::vector<float> x(20000);
  fill_normal(2, 0, 0, x);
  REQUIRE(sample_ddpm(spec, 1000, gaussian_noise(spec, 0), 7, 10, x).ok());
  CHECK(deviation(x) == doctest::Approx(kDeviation).epsilon(0.03));
  spec.learned_variance = false;
  fill_normal(2, 0, 0, x);
  REQUIRE(sample_ddpm(spec, 250, gaussian_noise(spec, 0), 7, 10, x).ok());
  CHECK(deviation(x) == doctest::Approx(kDeviation).epsilon(0.05));
}

TEST_CASE("respaced timesteps run from the last to the first") {
  const DiffusionSpec spec;
  auto all = respaced_timesteps(spec, 1000);
  REQUIRE(all.ok());
  CHECK(all->front() == 999);
  CHECK(all->back() == 0);
  // 250 of 1000: i·999/249 rounded; the second is 4.01, the third 8.02.
  auto some = respaced_timesteps(spec, 250);
  REQUIRE(some.ok());
  CHECK(some->at(248) == 4);
  CHECK(some->at(247) == 8);
  CHECK_FALSE(respaced_timesteps(spec, 0).ok());
  CHECK_FALSE(respaced_timesteps(spec, 1001).ok());
}
