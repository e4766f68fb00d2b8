#include "runtime/samplers/diffusion.h"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/random/normal.h"

using namespace zoetrope;

namespace {

// For data N(0, s²) the best noise prediction is eps = sqrt(1 − a)·x / (a·s² + 1 − a): sampling
// with it must give back the data's deviation.
constexpr double kDeviation = 0.5;

DiffusionModel gaussian_noise(const DiffusionSampler& sampler, float variance_value) {
  return [&sampler, variance_value](int t, std::span<const float> x, std::span<float> noise,
                                    std::span<float> variance) {
    const double a = sampler.alphas()[static_cast<size_t>(t)];
    for (size_t i = 0; i < x.size(); ++i)
      noise[i] =
          static_cast<float>(std::sqrt(1 - a) * x[i] / (a * kDeviation * kDeviation + 1 - a));
    for (float& v : variance) v = variance_value;
    return Status();
  };
}

StepNoise seeded(uint64_t seed) {
  return [seed](int step, std::span<float> out) {
    fill_normal(seed, static_cast<uint64_t>(step), 0, out);
  };
}

DiffusionSampler sampler_of(const DiffusionSpec& spec, int steps) {
  auto sampler = DiffusionSampler::create(spec, steps);
  REQUIRE_MESSAGE(sampler.ok(), sampler.status().message());
  return std::move(*sampler);
}

std::string refusal(const DiffusionSpec& spec, int steps = 50) {
  const auto sampler = DiffusionSampler::create(spec, steps);
  REQUIRE_FALSE(sampler.ok());
  return sampler.status().message();
}

bool mentions(const std::string& text, const char* what) {
  return text.find(what) != std::string::npos;
}

double deviation(std::span<const float> x) {
  double square = 0;
  for (float v : x) square += double{v} * v;
  return std::sqrt(square / static_cast<double>(x.size()));
}

}  // namespace

TEST_CASE("DDIM maps noise to data deterministically, each element by itself") {
  DiffusionSpec spec;
  spec.solver = "ddim";
  const DiffusionSampler sampler = sampler_of(spec, 250);
  CHECK_FALSE(sampler.needs_variance());
  for (int i = 0; i < 250; ++i) CHECK_FALSE(sampler.needs_noise(i));
  std::vector<float> x(20000), again;
  fill_normal(1, 0, 0, x);
  again = x;
  REQUIRE(sample_diffusion(sampler, gaussian_noise(sampler, 0), seeded(5), x).ok());
  REQUIRE(sample_diffusion(sampler, gaussian_noise(sampler, 0), seeded(99), again).ok());
  CHECK(x == again);
  CHECK(deviation(x) == doctest::Approx(kDeviation).epsilon(0.03));
}

TEST_CASE("DDPM with the exact posterior gives the data's spread") {
  DiffusionSpec spec;
  const DiffusionSampler learned = sampler_of(spec, 1000);
  std::vector<float> x(20000);
  fill_normal(2, 0, 0, x);
  REQUIRE(sample_diffusion(learned, gaussian_noise(learned, 0), seeded(7), x).ok());
  CHECK(deviation(x) == doctest::Approx(kDeviation).epsilon(0.03));
  spec.variance = "fixed_small";
  const DiffusionSampler fixed = sampler_of(spec, 250);
  CHECK_FALSE(fixed.needs_variance());
  fill_normal(2, 0, 0, x);
  REQUIRE(sample_diffusion(fixed, gaussian_noise(fixed, 0), seeded(7), x).ok());
  CHECK(deviation(x) == doctest::Approx(kDeviation).epsilon(0.05));
}

TEST_CASE("a run stopped after a step goes on from there, bit for bit") {
  const DiffusionSampler sampler = sampler_of({}, 20);
  const DiffusionModel model = gaussian_noise(sampler, 0.3f);
  std::vector<float> whole(64);
  fill_normal(4, 0, 0, whole);
  std::vector<float> parts = whole;
  REQUIRE(sample_diffusion(sampler, model, seeded(8), whole).ok());
  const auto stop = [](int done, int total) {
    CHECK(total == 20);
    return done < 7;
  };
  CHECK(sample_diffusion(sampler, model, seeded(8), parts, stop).code() == Code::kCancelled);
  REQUIRE(sample_diffusion(sampler, model, seeded(8), parts, {}, 7).ok());
  CHECK(whole == parts);
}

TEST_CASE("what a spec says is checked, and the message names it") {
  CHECK(mentions(refusal({}, 0), "1 to 1000"));
  CHECK(mentions(refusal({}, 1001), "1 to 1000"));
  CHECK(mentions(refusal({.solver = "euler"}), "ddim"));
  CHECK(mentions(refusal({.betas = "quadratic"}), "scaled_linear"));
  CHECK(mentions(refusal({.spacing = "even"}), "leading"));
  CHECK(mentions(refusal({.prediction = "x"}), "v_prediction"));
  CHECK(mentions(refusal({.variance = "large"}), "fixed_large"));
  CHECK(mentions(refusal({.reference = "other"}), "diffusers"));
  CHECK(mentions(refusal({.beta_last = 1}), "beta 1"));
  CHECK(mentions(refusal({.trained_betas = {0.1, 0.2}}), "trained_betas"));
  CHECK(mentions(refusal({.steps_offset = 1}), "steps_offset"));
  CHECK(mentions(refusal({.spacing = "leading", .steps_offset = 20}), "timestep 1000"));
  CHECK(mentions(refusal({.eta = 2}), "eta"));
  CHECK(mentions(refusal({.clip = -1}), "clip"));
  // Pure noise as input, and a model that predicts the noise: nothing is known of the picture.
  CHECK(mentions(refusal({.reference = "diffusers", .zero_snr = true, .spacing = "linspace"}),
                 "v_prediction"));
}
