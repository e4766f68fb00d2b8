// How flow matching is sampled, as a recipe says it.
#pragma once

#include <cstdint>
#include <vector>

namespace zoetrope {

// kEuler, kUniPc, kDpmpp2m and kDmd evaluate once a step, kMidpoint and kHeun twice.
//   kUniPc    arXiv 2302.04867, of `order`
//   kDpmpp2m  DPM-Solver++ (arXiv 2211.01095) of order 2, multistep, midpoint
//   kDmd      predicts the result and makes it as noisy as the next time with fresh noise: few-step
//             models of distribution matching (arXiv 2405.14867)
enum class FlowSolver : uint8_t { kEuler, kMidpoint, kHeun, kUniPc, kDpmpp2m, kDmd };
enum class FlowSchedule : uint8_t { kLinear, kLinearQuadratic, kExplicit };
enum class UniPcB : uint8_t { kBh1, kBh2 };  // B(h) = h, or e^h - 1
// Whether the shift is the same for every size, or follows the number of tokens: then µ lies on the
// line through (base_tokens, base_shift) and (max_tokens, max_shift), and the shift is e^µ or µ.
enum class FlowShift : uint8_t { kFixed, kExponential, kLinear };

// Flow matching: time runs from 1 (noise) to 0, the network gives a velocity. A schedule gives u a
// step, whose time is shift·u / (1 + (shift - 1)·u); behind the last step it is 0. Those of others:
//   diffusers' UniPC             last 0.001, train_steps 1000
//   diffusers' DPM-Solver++, and UniPC of original projects   first 0.999, train_steps 1000
//   diffusers' Euler by default  last shift·0.001 / (1 + (shift - 1)·0.001), reaches_last
//   few steps of distilled models   explicit times, a shift
struct FlowSampler {
  FlowSolver solver = FlowSolver::kEuler;
  int order = 2;                  // of kUniPc: 1 to 3; the first and last steps have less
  UniPcB unipc_b = UniPcB::kBh2;  // of kUniPc
  FlowSchedule schedule = FlowSchedule::kLinear;
  double shift = 1;
  FlowShift shift_by = FlowShift::kFixed;
  double base_shift = 0.5, max_shift = 1.15;
  int base_tokens = 256, max_tokens = 4096;
  int latents_a_token = 1;  // positions of the latents that are one token of the network
  double terminal = 0;      // the last step's time: all are stretched towards it; 0: they are not
  // Of kLinear: u goes from `first` towards `last` in even steps. The last step's is `last`, or one
  // short of it.
  double first = 1, last = 0;
  bool reaches_last = false;
  int linear_steps = 1000;    // N of kLinearQuadratic
  std::vector<double> times;  // of kExplicit: u, steps + 1 values that fall to 0
  std::vector<double> told;   // of kExplicit: in place of the times; one a step, or none
  // The network is told the time in whole steps of so many, rounded down; 0: as it is.
  int train_steps = 0;
};

}  // namespace zoetrope
