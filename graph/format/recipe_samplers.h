// Fields of samplers in a recipe's JSON: of recipe.cc alone.
#pragma once

#include <algorithm>
#include <string_view>

#include "graph/format/recipe.h"

namespace zoetrope {

inline constexpr std::string_view kFlowSolvers[] = {"euler", "midpoint", "heun",
                                                    "unipc", "dpmpp_2m", "dmd"};
inline constexpr std::string_view kFlowSchedules[] = {"linear", "linear_quadratic", "explicit"};
inline constexpr std::string_view kFlowShifts[] = {"fixed", "exponential", "linear"};
inline constexpr std::string_view kUniPcBs[] = {"bh1", "bh2"};
inline constexpr std::string_view kReferences[] = {"original", "diffusers"};
inline constexpr std::string_view kDiffusionSolvers[] = {"ddpm", "ddim"};
inline constexpr std::string_view kBetas[] = {"linear", "scaled_linear", "squaredcos_cap_v2",
                                              "sigmoid", "laplace"};
inline constexpr std::string_view kSpacings[] = {"respaced", "leading", "trailing", "linspace"};
inline constexpr std::string_view kPredictions[] = {"epsilon", "sample", "v_prediction"};
inline constexpr std::string_view kVariances[] = {"fixed_small", "fixed_large", "learned",
                                                  "learned_range"};

template <typename V>
void fields(V& v, FlowSampler& s) {
  v.choice("solver", &s.solver, kFlowSolvers);
  v.integer("order", &s.order, 1, 3);
  v.choice("unipc_b", &s.unipc_b, kUniPcBs);
  v.choice("schedule", &s.schedule, kFlowSchedules);
  v.number("shift", &s.shift, 1e-3, 1e3);
  v.choice("shift_by", &s.shift_by, kFlowShifts);
  v.number("base_shift", &s.base_shift, -1e3, 1e3);
  v.number("max_shift", &s.max_shift, -1e3, 1e3);
  v.integer("base_tokens", &s.base_tokens, 0, 1 << 30);
  v.integer("max_tokens", &s.max_tokens, 0, 1 << 30);
  v.integer("latents_a_token", &s.latents_a_token, 1, 1 << 20);
  v.require(s.shift_by == FlowShift::kFixed || s.base_tokens < s.max_tokens, "max_tokens",
            "more than base_tokens");
  v.number("terminal", &s.terminal, 0, 0.999);
  v.number("first", &s.first, 0, 1);
  v.number("last", &s.last, 0, 1);
  v.flag("reaches_last", &s.reaches_last);
  v.integer("linear_steps", &s.linear_steps, 1, 1000000);
  v.numbers("times", &s.times, 10001, 0, 1);
  v.numbers("told", &s.told, 10000, 0, 1);
  v.integer("train_steps", &s.train_steps, 0, 1000000);
  const auto stays = [](double a, double b) { return !(b < a); };
  v.require(s.last < s.first, "last", "less than first");
  v.require(!s.reaches_last || s.last > 0, "last", "more than 0 where it is reached");
  v.require(std::adjacent_find(s.times.begin(), s.times.end(), stays) == s.times.end() &&
                (s.times.empty() || s.times.back() == 0),
            "times", "falling to 0");
  const bool listed = s.schedule == FlowSchedule::kExplicit;
  v.require(!listed || s.times.size() >= 2, "times", "at least two times");
  v.require(s.told.empty() || (listed && s.told.size() + 1 == s.times.size()), "told",
            "one a step of the schedule explicit");
  v.require(std::adjacent_find(s.told.begin(), s.told.end(), stays) == s.told.end(), "told",
            "falling");
}

template <typename V>
void fields(V& v, DiffusionSpec& s) {
  v.word("reference", &s.reference, kReferences);
  v.word("solver", &s.solver, kDiffusionSolvers);
  v.integer("train_steps", &s.train_steps, 1, 100000);
  v.word("betas", &s.betas, kBetas);
  v.number("beta_first", &s.beta_first, 1e-9, 0.9999);
  v.number("beta_last", &s.beta_last, 1e-9, 0.9999);
  v.numbers("trained_betas", &s.trained_betas, 100000, 0, 0.9999);
  v.require(s.trained_betas.empty() || s.trained_betas.size() == static_cast<size_t>(s.train_steps),
            "trained_betas", "one number a training step, or left out");
  v.flag("zero_snr", &s.zero_snr);
  v.word("spacing", &s.spacing, kSpacings);
  v.integer("steps_offset", &s.steps_offset, 0, 1000);
  v.word("prediction", &s.prediction, kPredictions);
  v.word("variance", &s.variance, kVariances);
  v.number("clip", &s.clip, 0, 1e6);
  v.flag("final_alpha_one", &s.final_alpha_one);
  v.number("eta", &s.eta, 0, 1);
}

}  // namespace zoetrope
