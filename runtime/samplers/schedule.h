// Times of the denoising steps of flow matching.
#pragma once

#include <vector>

#include "graph/format/recipe.h"

namespace zoetrope {

struct FlowPoints {
  std::vector<double> sigmas;  // steps + 1, falling, the last 0; of f32 precision, as everybody's
  std::vector<double> times;   // steps: what the network is told, in [0, 1]
};

// Errors say what cannot be: steps beyond 1 to 10000, or that the schedule does not have, and times
// that do not fall. Solvers that step in logarithms of the noise's share (kUniPc, kDpmpp2m) begin
// just below 1. kLinearQuadratic is Movie Gen's (arXiv 2410.13720, 3.4.2): the first half are the
// first steps of a linear schedule of sampler.linear_steps, the second half grows quadratically.
Result<FlowPoints> space_flow(const FlowSampler& sampler, int steps);

// Sets the sampler's shift for latents of so many positions and makes it kFixed, as space_flow wants
// it. Errors where the line gives no positive shift.
Status fix_shift(FlowSampler* sampler, int64_t latents);

// What the network is told at a time between those of the steps.
double told_at(const FlowSampler& sampler, double sigma);

}  // namespace zoetrope
