// Flow samplers against diffusers' schedulers, from unipc.json that make_unipc.py wrote.
#include "runtime/samplers/unipc.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/random/normal.h"
#include "runtime/samplers/flow.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

const json& fixtures() {
  static const json data =
      json::parse(std::ifstream(ZOETROPE_SOURCE_DIR "/tests/samplers/unipc.json"));
  return data;
}

Status field(double time, std::span<const float> x, std::span<float> v) {
  for (size_t i = 0; i < x.size(); ++i)
    v[i] = static_cast<float>(0.8 * x[i] + 0.3 * std::sin(2.0 * x[i] + 5 * time));
  return Status();
}

double distance(std::span<const float> got, const json& expected) {
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = expected.at(i).get<double>();
    worst = std::max(worst, std::fabs(got[i] - want) / (1 + std::fabs(want)));
  }
  return worst;
}

// As a recipe has them.
FlowSampler sampler_of(const json& fields) {
  FlowSampler s;
  const auto solver = parse_flow_solver(fields["solver"].get<std::string>());
  REQUIRE(solver.ok());
  s.solver = *solver;
  s.schedule = *parse_flow_schedule(fields.value("schedule", "linear"));
  s.order = fields.value("order", 2);
  s.unipc_b = fields.value("unipc_b", "bh2") == "bh2" ? UniPcB::kBh2 : UniPcB::kBh1;
  s.shift = fields.value("shift", 1.0);
  const std::string by = fields.value("shift_by", "fixed");
  s.shift_by = by == "linear"        ? FlowShift::kLinear
               : by == "exponential" ? FlowShift::kExponential
                                     : FlowShift::kFixed;
  s.base_shift = fields.value("base_shift", 0.5);
  s.max_shift = fields.value("max_shift", 1.15);
  s.base_tokens = fields.value("base_tokens", 256);
  s.max_tokens = fields.value("max_tokens", 4096);
  s.latents_a_token = fields.value("latents_a_token", 1);
  s.terminal = fields.value("terminal", 0.0);
  s.first = fields.value("first", 1.0);
  s.last = fields.value("last", 0.0);
  s.reaches_last = fields.value("reaches_last", false);
  s.train_steps = fields.value("train_steps", 0);
  if (fields.contains("times")) s.times = fields["times"].get<std::vector<double>>();
  REQUIRE(fix_shift(&s, fields.value("latents", 1)).ok());
  return s;
}

}  // namespace

TEST_CASE("flow samplers step as diffusers' schedulers do") {
  std::map<std::string, int> seen;
  for (const json& c : fixtures()["cases"]) {
    const int steps = c["steps"], first = c["first"];
    CAPTURE(steps);
    const std::string fields = c["fields"].dump();
    CAPTURE(fields);
    const FlowSampler sampler = sampler_of(c["fields"]);
    ++seen[std::string(solver_name(sampler.solver))];
    const auto points = space_flow(sampler, steps);
    REQUIRE_MESSAGE(points.ok(), points.status().message());
    REQUIRE(points->sigmas.size() == c["sigmas"].size());
    for (size_t i = 0; i < points->sigmas.size(); ++i)
      CHECK(std::fabs(points->sigmas[i] - c["sigmas"][i].get<double>()) <= 6e-8);
    REQUIRE(points->times.size() == c["times"].size());
    for (size_t i = 0; i < points->times.size(); ++i)
      CHECK(std::fabs(points->times[i] * 1000 - c["times"][i].get<double>()) <= 1e-4);

    std::vector<float> x = fixtures()["noise"].get<std::vector<float>>();
    std::vector<std::vector<float>> trace;
    const StepNoise noise = [](int step, std::span<float> out) {
      fill_normal(5, 70 + static_cast<uint64_t>(step), 0, out);
    };
    const Status run = sample_flow(
        sampler, *points, field, noise, x,
        [&](int, int) {
          trace.push_back(x);
          return true;
        },
        first);
    REQUIRE_MESSAGE(run.ok(), run.message());
    for (const float value : trace.back()) CHECK(std::isfinite(value));
    if (sampler.unipc_b == UniPcB::kBh1) trace.pop_back();  // diffusers' last step is NaN
    const json& expected = c["x"];
    REQUIRE(trace.size() >= expected.size());
    for (size_t k = 0; k < expected.size(); ++k)
      CHECK(distance(trace[trace.size() - expected.size() + k], expected[k]) <= 1e-6);
    // In f32 diffusers' logarithms near sigma 1 lose digits that ours keep.
    if (c.contains("x32")) CHECK(distance(trace.back(), c["x32"]) <= 2e-5);
  }
  CHECK(seen ==
        std::map<std::string, int>{{"unipc", 135}, {"dpmpp_2m", 100}, {"euler", 102}, {"dmd", 3}});
}

TEST_CASE("1 to 50 steps are told diffusers' times with any shift") {
  for (const json& c : fixtures()["grid"]) {
    const FlowSampler sampler = sampler_of(c["fields"]);
    const std::string fields = c["fields"].dump();
    CAPTURE(fields);
    for (int steps = 1; steps <= 50; ++steps) {
      CAPTURE(steps);
      const auto points = space_flow(sampler, steps);
      REQUIRE_MESSAGE(points.ok(), points.status().message());
      double told = 0, sigmas = 0;
      for (size_t i = 0; i < points->times.size(); ++i)
        told += static_cast<double>(i + 1) * points->times[i] * 1000;
      for (const double sigma : points->sigmas) sigmas += sigma;
      const auto at = static_cast<size_t>(steps - 1);
      // Whole steps are told exactly; flow Euler's times are f32.
      CHECK(std::fabs(told - c["told"][at].get<double>()) < 0.05);
      CHECK(std::fabs(sigmas - c["sigmas"][at].get<double>()) < 1e-6);
    }
  }
}

TEST_CASE("UniPC of every order ends where diffusers' does, in 1 to 50 steps") {
  for (const json& c : fixtures()["orders"]) {
    const FlowSampler sampler = sampler_of(c["fields"]);
    const std::string fields = c["fields"].dump();
    CAPTURE(fields);
    for (int steps = 1; steps <= 50; ++steps) {
      CAPTURE(steps);
      const json& expected = c["ends"][static_cast<size_t>(steps - 1)];
      if (expected.empty()) continue;  // bh1's only step is NaN there
      const auto points = space_flow(sampler, steps);
      REQUIRE(points.ok());
      std::vector<float> x = fixtures()["noise"].get<std::vector<float>>();
      std::vector<std::vector<float>> trace;
      REQUIRE(sample_flow(sampler, *points, field, {}, x, [&](int, int) {
                trace.push_back(x);
                return true;
              }).ok());
      if (sampler.unipc_b == UniPcB::kBh1) trace.pop_back();  // diffusers' last step is NaN
      CHECK(distance(trace.back(), expected) <= 1e-6);
    }
  }
}

TEST_CASE("a shift that follows the size must come out positive") {
  FlowSampler sampler;
  sampler.shift_by = FlowShift::kLinear;
  sampler.base_shift = -1;
  sampler.max_shift = 1;
  sampler.base_tokens = 0;
  sampler.max_tokens = 1000;
  FlowSampler small = sampler, large = sampler;
  CHECK(fix_shift(&small, 100).message().find("of 100 tokens") != std::string::npos);
  REQUIRE(fix_shift(&large, 1000).ok());
  CHECK(large.shift == doctest::Approx(1));
  CHECK(large.shift_by == FlowShift::kFixed);
  sampler = {};
  sampler.terminal = 0.1;
  CHECK(space_flow(sampler, 1).status().message().find("takes more") != std::string::npos);
  CHECK(space_flow(sampler, 2).ok());
}

TEST_CASE("bh1 ends with the prediction where diffusers has NaN") {
  FlowSampler sampler;
  sampler.solver = FlowSolver::kUniPc;
  sampler.shift = 3;
  const auto points = space_flow(sampler, 5);
  REQUIRE(points.ok());
  const auto unipc = UniPcSampler::create({.order = 2, .bh2 = false}, points->sigmas);
  REQUIRE(unipc.ok());
  std::vector<float> x{0.5f, -1}, v(2);
  UniPcState state;
  for (int i = 0; i < 5; ++i) {
    REQUIRE(field(points->times[static_cast<size_t>(i)], x, v).ok());
    unipc->step(i, v, &state, x);
  }
  for (size_t k = 0; k < x.size(); ++k) CHECK(x[k] == state.starts[0][k]);
}

TEST_CASE("a run goes on from its saved state") {
  FlowSampler sampler;
  sampler.solver = FlowSolver::kUniPc;
  sampler.shift = 5;
  const auto points = space_flow(sampler, 9);
  REQUIRE(points.ok());
  const auto unipc = UniPcSampler::create({.order = 3}, points->sigmas);
  REQUIRE(unipc.ok());
  std::vector<float> whole{0.5f, -1, 2}, x = whole, v(3);
  UniPcState state, saved;
  const auto step = [&](int i, UniPcState* s, std::vector<float>& at) {
    REQUIRE(field(points->times[static_cast<size_t>(i)], at, v).ok());
    unipc->step(i, v, s, at);
  };
  for (int i = 0; i < 9; ++i) step(i, &state, whole);
  for (int i = 0; i < 4; ++i) step(i, &saved, x);
  UniPcState restored = saved;
  std::vector<float> y = x;
  for (int i = 4; i < 9; ++i) step(i, &restored, y);
  CHECK(y == whole);
}

TEST_CASE("what UniPC cannot step through is refused") {
  const auto message = [](const Status& status) { return status.message(); };
  const std::vector<double> noise{1, 0.5, 0}, rising{0.9, 0.95, 0}, open{0.9, 0.5};
  CHECK(message(UniPcSampler::create({}, noise).status()).find("below 1") != std::string::npos);
  CHECK(message(UniPcSampler::create({}, rising).status()).find("entry 1") != std::string::npos);
  CHECK(message(UniPcSampler::create({}, open).status()).find("end with 0") != std::string::npos);
  CHECK(message(UniPcSampler::create({.order = 4}, noise).status()).find("1 to 3") !=
        std::string::npos);
  CHECK(message(UniPcSampler::create({.order = 0}, noise).status()).find("1 to 3") !=
        std::string::npos);
}
