// DDPM and DDIM against diffusers' schedulers, from diffusers.json that make_diffusers.py wrote.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/random/normal.h"
#include "runtime/samplers/diffusion.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

const json& fixtures() {
  static const json data = [] {
    std::ifstream file(ZOETROPE_SOURCE_DIR "/tests/samplers/diffusers.json");
    return json::parse(file);
  }();
  return data;
}

constexpr uint64_t kSeed = 3, kStream = 40;  // as in the script

// A scheduler's configuration, with diffusers' own defaults.
DiffusionSpec spec_of(const json& options) {
  DiffusionSpec spec;
  spec.reference = "diffusers";
  spec.betas = options.value("beta_schedule", "linear");
  spec.beta_first = options.value("beta_start", 1e-4);
  spec.beta_last = options.value("beta_end", 2e-2);
  spec.trained_betas = options.value("trained_betas", std::vector<double>());
  spec.zero_snr = options.value("rescale_betas_zero_snr", false);
  spec.spacing = options.value("timestep_spacing", "leading");
  spec.steps_offset = options.value("steps_offset", 0);
  spec.prediction = options.value("prediction_type", "epsilon");
  const std::string variance = options.value("variance_type", "fixed_small");
  spec.variance = variance == "fixed_small_log" ? "fixed_small" : variance;
  spec.clip = options.value("clip_sample", true) ? options.value("clip_sample_range", 1.0) : 0;
  spec.final_alpha_one = options.value("set_alpha_to_one", true);
  return spec;
}

std::vector<float> start() {
  std::vector<float> x(6);
  fill_normal(11, 2, 0, x);
  return x;
}

void step_noise(int step, std::span<float> out) {
  fill_normal(kSeed, kStream + static_cast<uint64_t>(step), 0, out);
}

// Largest difference relative to 1 + |expected|.
double distance(std::span<const float> got, const json& expected) {
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = expected.at(i).get<double>();
    worst = std::max(worst, std::fabs(got[i] - want) / (1 + std::fabs(want)));
  }
  return worst;
}

}  // namespace

TEST_CASE("tables are diffusers', to the last bit of an f32") {
  for (const json& c : fixtures()["tables"]) {
    DiffusionSpec spec = spec_of(c);
    spec.betas = c["betas"];
    spec.prediction = "v_prediction";
    CAPTURE(spec.betas);
    CAPTURE(spec.zero_snr);
    const auto sampler = DiffusionSampler::create(spec, 10);
    REQUIRE_MESSAGE(sampler.ok(), sampler.status().message());
    // PyTorch's sigmoid and square root are a unit in the last place off, as the machine has them.
    const double tolerance = spec.betas == "sigmoid" || spec.zero_snr ? 2e-7 : 0;
    double sum = 0;
    for (const double alpha : sampler->alphas()) sum += alpha;
    CHECK(std::fabs(sum - c["sum"].get<double>()) <= 1000 * tolerance);
    for (size_t i = 0; i < c["alphas"].size(); ++i) {
      const auto place = fixtures()["places"][i].get<size_t>();
      CHECK(std::fabs(sampler->alphas()[place] - c["alphas"][i].get<double>()) <= tolerance);
    }
  }
}

TEST_CASE("timesteps are diffusers' and improved-diffusion's for every count of steps") {
  for (const auto& [spacing, sums] : fixtures()["timesteps"].items()) {
    CAPTURE(spacing);
    DiffusionSpec spec;
    spec.spacing = spacing;
    int64_t sum = 0;
    for (int steps = 1; steps <= 1000; ++steps) {
      const auto timesteps = spaced_timesteps(spec, steps);
      REQUIRE_MESSAGE(timesteps.ok(), timesteps.status().message());
      REQUIRE(timesteps->size() == static_cast<size_t>(steps));
      for (int i = 0; i < steps; ++i) sum += int64_t{i + 1} * (*timesteps)[static_cast<size_t>(i)];
      if (steps % 25 != 0) continue;
      CAPTURE(steps);
      CHECK(sum == sums[static_cast<size_t>(steps / 25 - 1)].get<int64_t>());
      sum = 0;
    }
  }
}

TEST_CASE("DDPM and DDIM step as diffusers' schedulers do") {
  for (const json& c : fixtures()["trajectories"]) {
    DiffusionSpec spec = spec_of(c["options"]);
    spec.solver = c["solver"];
    spec.eta = c["eta"];
    CAPTURE(spec.solver);
    CAPTURE(c["steps"].get<int>());
    CAPTURE(c["options"].dump());
    const DiffusionModel model = [&](int t, std::span<const float> x, std::span<float> output,
                                     std::span<float> variance) {
      for (size_t i = 0; i < x.size(); ++i) {
        double value = (0.15 + 8e-4 * t) * x[i] + 0.1 * std::sin(3.0 * x[i]);
        if (spec.prediction == "sample") value = 0.5 * std::tanh(double{x[i]}) + 1e-4 * t;
        if (spec.prediction == "v_prediction") value -= 0.3 * x[i];
        output[i] = static_cast<float>(value);
      }
      for (size_t i = 0; i < variance.size(); ++i) {
        const double raw = std::tanh(0.5 * x[i]);
        variance[i] = static_cast<float>(spec.variance == "learned" ? raw * raw / 10 : raw);
      }
      return Status();
    };
    const auto sampler = DiffusionSampler::create(spec, c["steps"]);
    REQUIRE_MESSAGE(sampler.ok(), sampler.status().message());
    std::vector<float> x = start();
    REQUIRE(sample_diffusion(*sampler, model, step_noise, x).ok());
    CHECK(distance(x, c["x"]) <= 1e-6);
  }
}

TEST_CASE("a clean sample is made as noisy as a step expects") {
  DiffusionSpec spec = spec_of(json::object());
  spec.solver = "ddim";
  for (const json& c : fixtures()["noised"]) {
    const auto sampler = DiffusionSampler::create(spec, c["steps"]);
    REQUIRE(sampler.ok());
    std::vector<float> x = start(), noise(x.size());
    step_noise(0, noise);
    sampler->add_noise(c["index"], noise, x);
    CHECK(distance(x, c["x"]) <= 1e-6);
  }
}
