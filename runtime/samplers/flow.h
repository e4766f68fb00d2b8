// Flow-matching solvers: integrate dx/dt = v(x, t) from t = 1 to t = 0 in f32.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "graph/format/recipe.h"

namespace zoetrope {

// Writes the velocity of `x` at time `t`, guidance included.
using Velocity = std::function<Status(double t, std::span<const float> x, std::span<float> v)>;

// After a step: steps done, of how many. False stops with kCancelled.
using StepObserver = std::function<bool(int done, int total)>;

// kEuler is of first order with one evaluation a step; kMidpoint and kHeun (trapezoid) are of
// second order with two.
int evaluations_per_step(FlowSolver solver);

// `times` from make_schedule. `x` holds the noise and becomes the result.
Status sample_flow(FlowSolver solver, std::span<const double> times, const Velocity& velocity,
                   std::span<float> x, const StepObserver& observer = {});

}  // namespace zoetrope
