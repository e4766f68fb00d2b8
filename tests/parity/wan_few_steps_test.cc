// Networks that were distilled to few steps, as their folder says or whoever converts them.
#include <cmath>

#include "runtime/samplers/schedule.h"
#include "tests/parity/wan_folder.h"

using namespace zoetrope;

namespace {

const FlowSampler& flow_of(const Converted& model) {
  return std::get<FlowSampler>(model.recipe.denoise()->sampler);
}

}  // namespace

TEST_CASE("FastWan's folder is sampled in three steps as it was distilled") {
  // FastVideo's folders name their pipeline; it looks for the noise level nearest to each time
  // among those of flow Euler's 1000, shifted by 8.
  const auto nearest = [](double told) {
    double best = 0;
    for (int k = 1; k <= 1000; ++k) {
      const double u = k / 1000.0, sigma = 8 * u / (1 + 7 * u);
      if (std::fabs(sigma - told) < std::fabs(best - told)) best = sigma;
    }
    return best;
  };
  const WanFolder fast({{"_class_name", "WanDMDPipeline"}}, kWanText);
  const Converted dmd({.input = fast.path(), .output = ""});
  const Denoise& few = *dmd.recipe.denoise();
  CHECK(few.steps == 3);
  CHECK(few.guidance == 1);
  const auto& sampler = std::get<FlowSampler>(few.sampler);
  CHECK(sampler.solver == FlowSolver::kDmd);
  const FlowPoints points = require_ok(space_flow(sampler, 3));
  const double told[] = {1.0, 0.757, 0.522};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(points.times[i] == told[i]);
    CHECK(points.sigmas[i] == doctest::Approx(nearest(told[i])).epsilon(1e-6));
  }
  mentions(refusal({.input = fast.path(), .output = "", .distilled = true}), "--distilled");
}

TEST_CASE("--no-distilled takes FastWan's folder as a usual one") {
  const WanFolder fast({{"_class_name", "WanDMDPipeline"}}, kWanText), plain({}, kWanText);
  const Converted usual({.input = plain.path(), .output = ""});
  const Converted denied({.input = fast.path(), .output = "", .distilled = false});
  CHECK(usual.recipe.denoise()->guidance > 1);
  CHECK(denied.recipe.denoise()->guidance == usual.recipe.denoise()->guidance);
  CHECK(denied.recipe.denoise()->steps == usual.recipe.denoise()->steps);
  CHECK(flow_of(usual).solver != FlowSolver::kDmd);
  CHECK(flow_of(denied).solver == flow_of(usual).solver);
  CHECK(flow_of(denied).shift == flow_of(usual).shift);
}

TEST_CASE("--distilled samples as lightx2v's four steps, which nothing in a file says") {
  const WanFolder plain({}, kWanText);
  const Converted four({.input = plain.path(), .output = "", .distilled = true});
  CHECK(four.recipe.denoise()->steps == 4);
  CHECK(four.recipe.denoise()->guidance == 1);
  const FlowPoints euler = require_ok(space_flow(flow_of(four), 4));
  const double sigmas[] = {1, 0.9375, 5.0 / 6, 0.625, 0};  // 5u / (1 + 4u) of 1, 3/4, 1/2, 1/4
  for (size_t i = 0; i < 5; ++i) CHECK(euler.sigmas[i] == doctest::Approx(sigmas[i]).epsilon(1e-6));
}
