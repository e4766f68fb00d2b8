#include "runtime/samplers/schedule.h"

#include <algorithm>
#include <cmath>

#include "runtime/samplers/flow.h"

namespace zoetrope {
namespace {

// Where diffusers' UniPC begins instead of at 1, whose logarithm is infinite.
constexpr double kMostInLogarithms = 1 - 1e-6;

// diffusers' DPM-Solver++ counts from the clean end, and in shares of signal.
bool counts_signal(const FlowSampler& s) {
  return s.solver == FlowSolver::kDpmpp2m && s.train_steps > 0 && s.last == 0 &&
         s.first == 1 - 1.0 / s.train_steps;
}

// In NumPy's order of operations: a time told in whole steps may hang on the last bit.
std::vector<double> linear(const FlowSampler& s, int steps) {
  if (counts_signal(s)) {
    const double least = 1.0 / s.train_steps, stride = (least - 1) / steps;
    std::vector<double> u{1 - least};
    for (int i = steps - 1; i > 0; --i) u.push_back(1 - (i * stride + 1));
    return u;
  }
  const int intervals = s.reaches_last ? std::max(steps - 1, 1) : steps;
  const double stride = (s.last - s.first) / intervals;
  std::vector<double> u;
  for (int i = 0; i < steps; ++i) u.push_back(i * stride + s.first);
  if (s.reaches_last && steps > 1) u.back() = s.last;
  return u;
}

// With n = steps/2 linear steps of 1/N each, the rest of the way, from sigma = n/N to 1, is the
// quadratic through (n, n/N) with slope 1/N there and value 1 at i = steps.
std::vector<double> linear_quadratic(int steps, int linear_steps) {
  const int n = steps / 2, rest = steps - n;
  const double slope = 1.0 / linear_steps, start = n * slope;
  const double curve = rest > 0 ? (1.0 - start - slope * rest) / (double(rest) * rest) : 0;
  std::vector<double> u;
  for (int i = 0; i < steps; ++i) {
    const double k = i - n;
    const double progress = i < n ? i * slope : start + slope * k + curve * k * k;
    u.push_back(1.0 - progress);
  }
  return u;
}

Result<std::vector<double>> curve(const FlowSampler& s, int steps) {
  switch (s.schedule) {
    case FlowSchedule::kLinear: return linear(s, steps);
    case FlowSchedule::kLinearQuadratic:
      if (s.linear_steps < steps)
        return error(Code::kInvalidArgument, "steps ", steps, ": a linear-quadratic schedule of ",
                     s.linear_steps, " linear steps takes at most that many");
      return linear_quadratic(steps, s.linear_steps);
    case FlowSchedule::kExplicit: break;
  }
  if (s.times.empty())
    return error(Code::kInvalidArgument, "this model lists no times; take the schedule linear");
  if (s.times.size() != static_cast<size_t>(steps) + 1)
    return error(Code::kInvalidArgument, "this model's schedule lists its times and has ",
                 s.times.size() - 1, " steps, not ", steps,
                 "; the schedule linear takes any number");
  return std::vector<double>(s.times.begin(), s.times.end() - 1);
}

}  // namespace

double told_at(const FlowSampler& sampler, double sigma) {
  const double n = sampler.train_steps;
  return n > 0 ? std::floor(sigma * n) / n : sigma;
}

Status fix_shift(FlowSampler* s, int64_t latents) {
  if (s->shift_by == FlowShift::kFixed) return Status();
  const double tokens = static_cast<double>(latents) / s->latents_a_token;
  const double slope = (s->max_shift - s->base_shift) / (s->max_tokens - s->base_tokens);
  const double mu = tokens * slope + (s->base_shift - slope * s->base_tokens);
  s->shift = s->shift_by == FlowShift::kExponential ? std::exp(mu) : mu;
  if (!(s->shift > 0) || !std::isfinite(s->shift))
    return error(Code::kInvalidArgument, "of ", tokens, " tokens this model's schedule makes a ",
                 "shift of ", s->shift,
                 "; expected a positive one: take another size, or say it "
                 "(--shift)");
  s->shift_by = FlowShift::kFixed;
  return Status();
}

Result<FlowPoints> space_flow(const FlowSampler& s, int steps) {
  ZT_CHECK(s.shift_by == FlowShift::kFixed);
  if (steps < 1 || steps > 10000)
    return error(Code::kInvalidArgument, "steps ", steps, ": expected 1 to 10000");
  if (!(s.shift > 0) || !(s.first <= 1) || !(s.last >= 0) || s.train_steps < 0)
    return error(Code::kInvalidArgument, "times from ", s.first, " to ", s.last, " with shift ",
                 s.shift,
                 ": expected them to fall from at most 1 to at least 0, and a positive shift");
  const bool listed = s.schedule == FlowSchedule::kExplicit && !s.told.empty();
  if (listed && evaluations_per_step(s.solver) > 1)
    return error(Code::kInvalidArgument, "the solver ", solver_name(s.solver),
                 " evaluates between the times that this model's schedule lists; take one that "
                 "evaluates once a step, or the schedule linear");
  ZT_ASSIGN_OR_RETURN(const std::vector<double> us, curve(s, steps));
  if (listed && s.told.size() != us.size())
    return error(Code::kDataLoss, "the recipe lists ", s.told.size(), " times to tell for ",
                 us.size(), " steps");
  const double most = steps_in_logarithms(s.solver) ? kMostInLogarithms : 1;
  const auto shifted = [&](double u) { return s.shift * u / (1 + (s.shift - 1) * u); };
  const double scale = s.terminal > 0 ? (1 - shifted(us.back())) / (1 - s.terminal) : 1;
  if (!(scale > 0))
    return error(
        Code::kInvalidArgument, steps,
        " steps end where they begin: this model's schedule, which is stretched to end at ",
        s.terminal, ", takes more");
  FlowPoints points;
  for (const double u : us) {
    double sigma = shifted(u);
    if (s.terminal > 0) sigma = 1 - (1 - sigma) / scale;
    sigma = std::min(sigma, most);
    points.sigmas.push_back(static_cast<float>(sigma));
    const bool whole = s.train_steps > 0;
    points.times.push_back(listed ? s.told[points.times.size()]
                                  : told_at(s, whole ? sigma : points.sigmas.back()));
  }
  points.sigmas.push_back(0);
  for (size_t i = 1; i < points.sigmas.size(); ++i)
    if (!(points.sigmas[i] < points.sigmas[i - 1]))
      return error(Code::kInvalidArgument, steps, " steps with shift ", s.shift,
                   ": time does not fall any more at step ", i);
  return points;
}

}  // namespace zoetrope
