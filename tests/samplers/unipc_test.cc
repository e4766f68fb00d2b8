// UniPC and the spacings of flow samplers against diffusers, from unipc.json that make_unipc.py
// wrote.
#include "runtime/samplers/unipc.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace zoetrope;
using nlohmann::json;

namespace {

const json& fixtures() {
  static const json data =
      json::parse(std::ifstream(ZOETROPE_SOURCE_DIR "/tests/samplers/unipc.json"));
  return data;
}

std::vector<float> velocity(std::span<const float> x, double time) {
  std::vector<float> v;
  for (const float value : x)
    v.push_back(static_cast<float>(0.8 * value + 0.3 * std::sin(2.0 * value + 5 * time)));
  return v;
}

double distance(std::span<const float> got, const json& expected) {
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = expected.at(i).get<double>();
    worst = std::max(worst, std::fabs(got[i] - want) / (1 + std::fabs(want)));
  }
  return worst;
}

void check_points(const FlowPoints& points, const json& c) {
  REQUIRE(points.sigmas.size() == c["sigmas"].size());
  for (size_t i = 0; i < points.sigmas.size(); ++i)
    CHECK(std::fabs(points.sigmas[i] - c["sigmas"][i].get<double>()) <= 6e-8);
}

}  // namespace

TEST_CASE("UniPC steps as diffusers' scheduler does") {
  for (const json& c : fixtures()["unipc"]) {
    const int steps = c["steps"], order = c["order"];
    const std::string solver = c["solver"];
    CAPTURE(steps);
    CAPTURE(order);
    CAPTURE(solver);
    const auto points = space_flow({.shift = c["shift"]}, steps);
    REQUIRE(points.ok());
    check_points(*points, c);
    const auto sampler =
        UniPcSampler::create({.order = order, .bh2 = solver == "bh2"}, points->sigmas);
    REQUIRE_MESSAGE(sampler.ok(), sampler.status().message());
    std::vector<float> x = fixtures()["noise"].get<std::vector<float>>();
    std::vector<std::vector<float>> trace;
    UniPcState state;
    for (int i = c["first"]; i < steps; ++i) {
      const double time = points->times[static_cast<size_t>(i)];
      CHECK(std::lround(time * 1000) == c["times"].at(static_cast<size_t>(i)).get<int64_t>());
      sampler->step(i, velocity(x, std::lround(time * 1000) / 1000.0), &state, x);
      trace.push_back(x);
    }
    for (const float value : trace.back()) CHECK(std::isfinite(value));
    if (solver == "bh1") trace.pop_back();  // diffusers' last step is NaN
    const json& expected = c["x"];
    REQUIRE(trace.size() >= expected.size());
    for (size_t k = 0; k < expected.size(); ++k)
      CHECK(distance(trace[trace.size() - expected.size() + k], expected[k]) <= 1e-6);
    // In f32 diffusers' logarithms near sigma 1 lose digits that ours keep.
    if (c.contains("x32")) CHECK(distance(trace.back(), c["x32"]) <= 2e-5);
  }
}

TEST_CASE("bh1 ends with the prediction where diffusers has NaN") {
  const auto points = space_flow({.shift = 3}, 5);
  REQUIRE(points.ok());
  const auto sampler = UniPcSampler::create({.order = 2, .bh2 = false}, points->sigmas);
  REQUIRE(sampler.ok());
  std::vector<float> x{0.5f, -1}, before;
  UniPcState state;
  for (int i = 0; i < 5; ++i)
    sampler->step(i, velocity(x, points->times[static_cast<size_t>(i)]), &state, x);
  for (size_t k = 0; k < x.size(); ++k) CHECK(x[k] == state.starts[0][k]);
}

TEST_CASE("flow Euler's own sigmas are diffusers', unlike even ones") {
  for (const json& c : fixtures()["euler"]) {
    FlowSpacing spacing{.shift = c["shift"], .last = c["last"]};
    spacing.most = 1;
    spacing.reaches_last = true;
    spacing.train_steps = 0;
    const auto points = space_flow(spacing, c["steps"]);
    REQUIRE_MESSAGE(points.ok(), points.status().message());
    check_points(*points, c);
    for (size_t i = 0; i < points->times.size(); ++i)
      CHECK(std::fabs(points->times[i] * 1000 - c["times"][i].get<double>()) <= 1e-4);
  }
}

TEST_CASE("a run goes on from its saved state") {
  const auto points = space_flow({.shift = 5}, 9);
  REQUIRE(points.ok());
  const auto sampler = UniPcSampler::create({.order = 3}, points->sigmas);
  REQUIRE(sampler.ok());
  std::vector<float> whole{0.5f, -1, 2}, x = whole;
  UniPcState state, saved;
  const auto step = [&](int i, UniPcState* s, std::vector<float>& at) {
    sampler->step(i, velocity(at, points->times[static_cast<size_t>(i)]), s, at);
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
  CHECK(message(space_flow({}, 0).status()).find("1 to 10000") != std::string::npos);
  CHECK(message(space_flow({.shift = -1}, 4).status()).find("positive") != std::string::npos);
}
