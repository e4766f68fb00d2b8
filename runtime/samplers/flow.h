// Flow-matching solvers: integrate dx/dt = v(x, t) from t = 1 to t = 0 in f32.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "graph/format/recipe.h"
#include "runtime/samplers/schedule.h"
#include "runtime/samplers/unipc.h"

namespace zoetrope {

// Writes the velocity of `x`, guidance included; `told`: the time as the network is told it.
using Velocity = std::function<Status(double told, std::span<const float> x, std::span<float> v)>;
// Writes the standard normal noise of step `index`.
using StepNoise = std::function<void(int index, std::span<float> noise)>;
// After a step: steps done, of how many. False stops with kCancelled.
using StepObserver = std::function<bool(int done, int total)>;

int evaluations_per_step(FlowSolver solver);
bool steps_in_logarithms(FlowSolver solver);
bool needs_noise(FlowSolver solver);

// What the network is told at every evaluation of the steps from `first` on, in their order. Never
// rises.
std::vector<double> flow_evaluations(const FlowSampler& sampler, const FlowPoints& points,
                                     int first = 0);

// Steps `first` to the last of `points`, from space_flow; x holds what step `first` expects and
// becomes the result. `noise` may be empty where the solver needs none. `state`: what a multistep
// solver carries from step to step; as the observer saw it after the step before `first`, the run
// goes on as if it had never stopped. Null: the run keeps its own, empty at first.
Status sample_flow(const FlowSampler& sampler, const FlowPoints& points, const Velocity& velocity,
                   const StepNoise& noise, std::span<float> x, const StepObserver& observer = {},
                   int first = 0, UniPcState* state = nullptr);

}  // namespace zoetrope
