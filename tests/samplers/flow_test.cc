#include "runtime/samplers/flow.h"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/samplers/schedule.h"

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
  auto times = make_schedule(FlowSampler(), steps);
  REQUIRE(times.ok());
  const float noise[] = {-1.5f, -0.2f, 0.4f, 2.0f};
  std::vector<float> x(noise, noise + 4);
  REQUIRE(sample_flow(solver, *times, gaussian_velocity, x).ok());
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
  for (const char* name : {"linear", "shifted", "linear_quadratic"}) {
    FlowSampler sampler;
    sampler.schedule = *parse_flow_schedule(name);
    sampler.shift = 5;
    for (int steps : {1, 2, 7, 50}) {
      auto times = make_schedule(sampler, steps);
      REQUIRE(times.ok());
      REQUIRE(times->size() == static_cast<size_t>(steps) + 1);
      CHECK(times->front() == 1.0);
      CHECK(times->back() == 0.0);
      for (size_t i = 1; i < times->size(); ++i) CHECK((*times)[i] < (*times)[i - 1]);
    }
  }
}

TEST_CASE("linear-quadratic begins with the steps of the fine linear schedule") {
  FlowSampler sampler;
  sampler.schedule = FlowSchedule::kLinearQuadratic;
  sampler.linear_steps = 1000;
  auto times = make_schedule(sampler, 50);
  REQUIRE(times.ok());
  for (int i = 0; i <= 25; ++i)
    CHECK((*times)[static_cast<size_t>(i)] == doctest::Approx(1 - i / 1000.0));
  // Quadratic: constant second difference.
  const auto second = [&](size_t i) { return (*times)[i + 1] - 2 * (*times)[i] + (*times)[i - 1]; };
  for (size_t i = 27; i < 50; ++i) CHECK(second(i) == doctest::Approx(second(26)).epsilon(1e-9));
}

TEST_CASE("the shifted schedule is s u / (1 + (s - 1) u)") {
  FlowSampler sampler;
  sampler.schedule = FlowSchedule::kShifted;
  sampler.shift = 3;
  auto times = make_schedule(sampler, 4);
  REQUIRE(times.ok());
  CHECK((*times)[2] == doctest::Approx(3 * 0.5 / (1 + 2 * 0.5)));
}

TEST_CASE("a sampler stops when asked and passes errors on") {
  std::vector<float> x{0.5f};
  const std::vector<double> times{1, 0.5, 0};
  CHECK(sample_flow(FlowSolver::kEuler, times, gaussian_velocity, x, [](int, int) {
          return false;
        }).code() == Code::kCancelled);
  const Velocity broken = [](double, std::span<const float>, std::span<float>) {
    return error(Code::kUnavailable, "gone");
  };
  CHECK(sample_flow(FlowSolver::kHeun, times, broken, x).code() == Code::kUnavailable);
  CHECK_FALSE(parse_flow_solver("leapfrog").ok());
}
