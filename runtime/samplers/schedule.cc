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

Result<std::vector<double>> make_schedule(const Recipe& recipe, int steps) {
  if (steps < 1 || steps > 10000)
    return error(Code::kInvalidArgument, "steps ", steps, ": expected 1 to 10000");
  if (recipe.schedule == "explicit") {
    if (recipe.times.size() != static_cast<size_t>(steps) + 1)
      return error(Code::kInvalidArgument, "this model's schedule has ", recipe.times.size() - 1,
                   " steps, not ", steps);
    for (size_t i = 1; i < recipe.times.size(); ++i)
      if (!(recipe.times[i] < recipe.times[i - 1]))
        return error(Code::kDataLoss, "the recipe's times do not decrease at entry ", i);
    return recipe.times;
  }
  if (recipe.schedule == "linear_quadratic") {
    if (recipe.linear_steps < steps)
      return error(Code::kInvalidArgument, "steps ", steps, ": a linear-quadratic schedule of ",
                   recipe.linear_steps, " linear steps takes at most that many");
    return linear_quadratic(steps, recipe.linear_steps);
  }
  std::vector<double> times;
  for (int i = 0; i <= steps; ++i) {
    const double u = 1.0 - static_cast<double>(i) / steps;
    times.push_back(
        recipe.schedule == "shifted" ? recipe.shift * u / (1.0 + (recipe.shift - 1.0) * u) : u);
  }
  return times;
}

}  // namespace zoetrope
