#include "runtime/samplers/flow.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace zoetrope;

namespace {

// Data N(m, s²), noise N(0, 1), x_t = (1 − t)·x_0 + t·eps. The exact velocity field of this
// Gaussian path is v(x, t) = −m + (t − (1 − t)·s²)/((1 − t)²s² + t²)·(x − (1 − t)·m), and its flow
// maps noise e to m + s·e: a closed form to check the solvers against.
constexpr double kMean = 0.7, kDeviation = 0.3;

Status gaussian_velocity(double t, std::span<const float> x, std::span<float> v) {
  const double s2 = kDeviation * kDeviation;
  const double variance = (1 - t) * (1 - t) * s2 + t * t;
  for (size_t i = 0; i < x.size(); ++i)
    v[i] = static_cast<float>(-kMean + (t - (1 - t) * s2) / variance * (x[i] - (1 - t) * kMean));
  return Status();
}

double error_after(FlowSolver solver, int steps) {
  FlowSampler sampler;
  sampler.solver = solver;
  const auto points = space_flow(sampler, steps);
  REQUIRE(points.ok());
  const float noise[] = {-1.5f, -0.2f, 0.4f, 2.0f};
  std::vector<float> x(noise, noise + 4);
  REQUIRE(sample_flow(sampler, *points, gaussian_velocity, {}, x).ok());
  double worst = 0;
  for (size_t i = 0; i < 4; ++i)
    worst = std::max(worst, std::fabs(x[i] - (kMean + kDeviation * noise[i])));
  return worst;
}

}  // namespace

TEST_CASE("solvers converge to the closed form at their order") {
  // Halving the step divides the error by 2 (first order) or by at least 4 (second order).
  const double euler = error_after(FlowSolver::kEuler, 40) / error_after(FlowSolver::kEuler, 80);
  CHECK(euler > 1.8);
  CHECK(euler < 2.2);
  for (FlowSolver solver : {FlowSolver::kMidpoint, FlowSolver::kHeun}) {
    CHECK(error_after(solver, 40) / error_after(solver, 80) > 3.3);
    CHECK(error_after(solver, 40) < 2e-3);
  }
}

TEST_CASE("schedules go from one to zero and never back") {
  for (const char* name : {"linear", "linear_quadratic"}) {
    FlowSampler sampler;
    sampler.schedule = *parse_flow_schedule(name);
    sampler.shift = 5;
    for (int steps : {1, 2, 7, 50}) {
      const auto points = space_flow(sampler, steps);
      REQUIRE(points.ok());
      REQUIRE(points->sigmas.size() == static_cast<size_t>(steps) + 1);
      CHECK(points->sigmas.front() == 1.0);
      CHECK(points->sigmas.back() == 0.0);
      for (size_t i = 1; i < points->sigmas.size(); ++i)
        CHECK(points->sigmas[i] < points->sigmas[i - 1]);
    }
  }
}

TEST_CASE("linear-quadratic begins with the steps of the fine linear schedule") {
  FlowSampler sampler;
  sampler.schedule = FlowSchedule::kLinearQuadratic;
  sampler.linear_steps = 1000;
  const auto points = space_flow(sampler, 50);
  REQUIRE(points.ok());
  const auto& times = points->sigmas;
  for (int i = 0; i <= 25; ++i)
    CHECK(times[static_cast<size_t>(i)] == doctest::Approx(1 - i / 1000.0).epsilon(1e-6));
  // Quadratic: constant second difference.
  const auto second = [&](size_t i) { return times[i + 1] - 2 * times[i] + times[i - 1]; };
  for (size_t i = 27; i < 50; ++i) CHECK(std::fabs(second(i) - second(26)) < 3e-7);
}

TEST_CASE("a shift is s u / (1 + (s - 1) u), of every schedule") {
  FlowSampler sampler;
  sampler.shift = 3;
  CHECK((*space_flow(sampler, 4)).sigmas[2] == doctest::Approx(3 * 0.5 / (1 + 2 * 0.5)));
  sampler.schedule = FlowSchedule::kExplicit;
  sampler.times = {1, 0.75, 0.5, 0.25, 0};
  sampler.shift = 5;
  const auto points = space_flow(sampler, 4);
  REQUIRE(points.ok());
  // 5 u / (1 + 4 u): 1, 15/16, 5/6, 5/8
  CHECK(points->sigmas[1] == 0.9375);
  CHECK(points->sigmas[2] == doctest::Approx(5.0 / 6));
  CHECK(points->sigmas[3] == 0.625);
  CHECK(points->times == std::vector<double>(points->sigmas.begin(), points->sigmas.end() - 1));
}

TEST_CASE("the network is told whole training steps, or what the recipe lists") {
  FlowSampler sampler;
  sampler.solver = FlowSolver::kDmd;
  sampler.schedule = FlowSchedule::kExplicit;
  sampler.times = {1, 0.7571, 0.5223, 0};
  sampler.train_steps = 1000;
  CHECK((*space_flow(sampler, 3)).times == std::vector<double>{1, 0.757, 0.522});
  sampler.told = {1, 0.756, 0.521};
  CHECK((*space_flow(sampler, 3)).times == sampler.told);
  sampler.solver = FlowSolver::kHeun;
  CHECK(space_flow(sampler, 3).status().message().find("between the times") != std::string::npos);
  sampler.solver = FlowSolver::kEuler;
  CHECK(space_flow(sampler, 4).status().message().find("3 steps, not 4; the schedule linear") !=
        std::string::npos);
}

TEST_CASE("evaluations are those that a run makes, and never rise in time") {
  for (const auto solver : {FlowSolver::kEuler, FlowSolver::kMidpoint, FlowSolver::kHeun,
                            FlowSolver::kUniPc, FlowSolver::kDpmpp2m, FlowSolver::kDmd})
    for (const int train_steps : {0, 1000}) {
      FlowSampler sampler;
      sampler.solver = solver;
      sampler.shift = 5;
      sampler.train_steps = train_steps;
      const auto points = space_flow(sampler, 9);
      REQUIRE(points.ok());
      std::vector<double> told;
      const Velocity velocity = [&](double t, std::span<const float> x, std::span<float> v) {
        told.push_back(t);
        std::copy(x.begin(), x.end(), v.begin());
        return Status();
      };
      std::vector<float> x{0.5f, -1};
      const StepNoise noise = [](int, std::span<float> out) {
        std::fill(out.begin(), out.end(), 0.25f);
      };
      REQUIRE(sample_flow(sampler, *points, velocity, noise, x, {}, 2).ok());
      CHECK(told == flow_evaluations(sampler, *points, 2));
      CHECK(told.size() == static_cast<size_t>(7 * evaluations_per_step(solver)));
      CHECK(std::is_sorted(told.rbegin(), told.rend()));
    }
}

TEST_CASE("a sampler stops when asked and passes errors on") {
  std::vector<float> x{0.5f};
  FlowSampler sampler;
  const auto points = *space_flow(sampler, 2);
  CHECK(sample_flow(sampler, points, gaussian_velocity, {}, x, [](int, int) {
          return false;
        }).code() == Code::kCancelled);
  const Velocity broken = [](double, std::span<const float>, std::span<float>) {
    return error(Code::kUnavailable, "gone");
  };
  sampler.solver = FlowSolver::kHeun;
  CHECK(sample_flow(sampler, points, broken, {}, x).code() == Code::kUnavailable);
  CHECK_FALSE(parse_flow_solver("leapfrog").ok());
}

TEST_CASE("times that cannot be are refused") {
  FlowSampler sampler;
  CHECK(space_flow(sampler, 0).status().message().find("1 to 10000") != std::string::npos);
  sampler.shift = -1;
  CHECK(space_flow(sampler, 4).status().message().find("positive") != std::string::npos);
  sampler.shift = 1e6;  // in f32 nothing is left between the first times
  CHECK(space_flow(sampler, 10000).status().message().find("does not fall") != std::string::npos);
}
