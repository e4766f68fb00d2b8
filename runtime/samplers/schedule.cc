#include "runtime/samplers/schedule.h"

namespace zoetrope {
namespace {

// With n = steps/2 linear steps of 1/N each, the rest of the way, from sigma = n/N to 1, is the
// quadratic through (n, n/N) with slope 1/N there and value 1 at i = steps.
std::vector<double> linear_quadratic(int steps, int linear_steps) {
  const int n = steps / 2, rest = steps - n;
  const double slope = 1.0 / linear_steps, start = n * slope;
  const double curve = rest > 0 ? (1.0 - start - slope * rest) / (double(rest) * rest) : 0;
  std::vector<double> times;
  for (int i = 0; i <= steps; ++i) {
    const double k = i - n;
    const double progress = i < n ? i * slope : start + slope * k + curve * k * k;
    times.push_back(1.0 - progress);
  }
  times.back() = 0.0;
  return times;
}

}  // namespace

Result<std::vector<double>> make_schedule(const FlowSampler& sampler, int steps) {
  if (steps < 1 || steps > 10000)
    return error(Code::kInvalidArgument, "steps ", steps, ": expected 1 to 10000");
  if (sampler.schedule == FlowSchedule::kExplicit) {
    if (sampler.times.size() != static_cast<size_t>(steps) + 1)
      return error(Code::kInvalidArgument, "this model's schedule has ", sampler.times.size() - 1,
                   " steps, not ", steps);
    for (size_t i = 1; i < sampler.times.size(); ++i)
      if (!(sampler.times[i] < sampler.times[i - 1]))
        return error(Code::kDataLoss, "the recipe's times do not decrease at entry ", i);
    return sampler.times;
  }
  if (sampler.schedule == FlowSchedule::kLinearQuadratic) {
    if (sampler.linear_steps < steps)
      return error(Code::kInvalidArgument, "steps ", steps, ": a linear-quadratic schedule of ",
                   sampler.linear_steps, " linear steps takes at most that many");
    return linear_quadratic(steps, sampler.linear_steps);
  }
  std::vector<double> times;
  for (int i = 0; i <= steps; ++i) {
    const double u = 1.0 - static_cast<double>(i) / steps;
    times.push_back(sampler.schedule == FlowSchedule::kShifted
                        ? sampler.shift * u / (1.0 + (sampler.shift - 1.0) * u)
                        : u);
  }
  return times;
}

}  // namespace zoetrope
