// Against fixtures.json, which make_fixtures.py computes from the papers' formulas and PyTorch.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/random/normal.h"
#include "runtime/random/torch_generator.h"
#include "runtime/samplers/diffusion.h"
#include "runtime/samplers/flow.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

const json& fixtures() {
  static const json data = [] {
    std::ifstream file(ZOETROPE_SOURCE_DIR "/tests/samplers/fixtures.json");
    return json::parse(file);
  }();
  return data;
}

void check_close(std::span<const float> got, const json& expected, double tolerance) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = expected[i].get<double>();
    CHECK(std::fabs(got[i] - want) <= tolerance * (1 + std::fabs(want)));
  }
}

std::vector<float> start() {
  std::vector<float> x(6);
  fill_normal(11, 2, 0, x);
  return x;
}

}  // namespace

TEST_CASE("Philox normals are those of the script") {
  check_close(start(), fixtures()["noise"], 1e-7);
}

TEST_CASE("flow solvers and schedules follow the papers' formulas") {
  for (const json& c : fixtures()["flows"]) {
    CAPTURE(c["schedule"].get<std::string>());
    CAPTURE(c["solver"].get<std::string>());
    FlowSampler sampler;
    const auto solver = parse_flow_solver(c["solver"].get<std::string>());
    REQUIRE(solver.ok());
    sampler.solver = *solver;
    const std::string schedule = c["schedule"];
    sampler.schedule = *parse_flow_schedule(schedule == "shifted" ? "linear" : schedule);
    sampler.shift = c.value("shift", 1.0);
    sampler.linear_steps = c.value("linear_steps", 1000);
    const auto points = space_flow(sampler, c["steps"]);
    REQUIRE(points.ok());
    const auto expected = c["times"].get<std::vector<double>>();
    REQUIRE(points->sigmas.size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(std::fabs(points->sigmas[i] - expected[i]) < 6e-8);
    const Velocity velocity = [](double t, std::span<const float> x, std::span<float> v) {
      for (size_t i = 0; i < x.size(); ++i)
        v[i] = static_cast<float>(std::tanh(x[i]) * std::cos(3 * t) + 0.5 * t - 0.3 * x[i]);
      return Status();
    };
    std::vector<float> x = start();
    REQUIRE(sample_flow(sampler, *points, velocity, {}, x).ok());
    check_close(x, c["x"], 2e-6);
  }
}

TEST_CASE("DDPM and DDIM follow the papers' formulas") {
  const DiffusionModel model = [](int t, std::span<const float> x, std::span<float> noise,
                                  std::span<float> variance) {
    for (size_t i = 0; i < x.size(); ++i)
      noise[i] = static_cast<float>(0.7 * std::sin(x[i]) + 1e-4 * t);
    for (size_t i = 0; i < variance.size(); ++i)
      variance[i] = static_cast<float>(std::tanh(0.5 * x[i]));
    return Status();
  };
  const StepNoise noise = [](int step, std::span<float> out) {
    fill_normal(3, 40 + static_cast<uint64_t>(step), 0, out);
  };
  for (const json& c : fixtures()["diffusions"]) {
    DiffusionSpec spec;
    spec.solver = c["solver"];
    CAPTURE(spec.solver);
    spec.variance = c["learned"].get<bool>() ? "learned_range" : "fixed_small";
    spec.eta = c["eta"];
    CAPTURE(spec.eta);
    const auto sampler = DiffusionSampler::create(spec, c["steps"]);
    REQUIRE(sampler.ok());
    std::vector<float> x = start();
    REQUIRE(sample_diffusion(*sampler, model, noise, x).ok());
    check_close(x, c["x"], 1e-6);
  }
}

TEST_CASE("the torch generator gives torch.randn's normals, call after call") {
  for (const json& c : fixtures()["torch_normals"]) {
    CAPTURE(c["seed"].get<uint64_t>());
    TorchGenerator generator(c["seed"].get<uint64_t>());
    for (const json& call : c["values"]) {
      CAPTURE(call.size());
      std::vector<float> values(call.size());
      generator.fill_normal(values);
      check_close(values, call, 2e-6);
    }
  }
}
