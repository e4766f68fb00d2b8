#include "runtime/samplers/diffusion.h"

#include <algorithm>
#include <cmath>

#include "runtime/random/normal.h"

namespace zoetrope {
namespace {

// Products of (1 − beta) up to each original timestep.
std::vector<double> cumulative_alphas(const DiffusionSpec& spec) {
  std::vector<double> alphas;
  double product = 1;
  for (int i = 0; i < spec.train_steps; ++i) {
    const double fraction = spec.train_steps > 1 ? double(i) / (spec.train_steps - 1) : 0;
    product *= 1 - (spec.beta_first + (spec.beta_last - spec.beta_first) * fraction);
    alphas.push_back(product);
  }
  return alphas;
}

// What one step from timestep t to the previous visited one needs.
struct Step {
  double alpha;       // cumulative, at t
  double alpha_prev;  // at the step's end; 1 at the last step
  double beta;        // of this respaced step

  double posterior_variance() const { return beta * (1 - alpha_prev) / (1 - alpha); }
};

std::vector<Step> make_steps(const DiffusionSpec& spec, std::span<const int> timesteps) {
  const std::vector<double> alphas = cumulative_alphas(spec);
  std::vector<Step> steps;
  for (size_t i = 0; i < timesteps.size(); ++i) {
    const double alpha = alphas[static_cast<size_t>(timesteps[i])];
    const double prev =
        i + 1 < timesteps.size() ? alphas[static_cast<size_t>(timesteps[i + 1])] : 1.0;
    steps.push_back({alpha, prev, 1 - alpha / prev});
  }
  return steps;
}

}  // namespace

Result<std::vector<int>> respaced_timesteps(const DiffusionSpec& spec, int steps) {
  if (steps < 1 || steps > spec.train_steps)
    return error(Code::kInvalidArgument, "steps ", steps, ": this model takes 1 to ",
                 spec.train_steps);
  const double stride = steps > 1 ? double(spec.train_steps - 1) / (steps - 1) : 0;
  std::vector<int> timesteps;
  for (int i = steps - 1; i >= 0; --i)
    timesteps.push_back(static_cast<int>(std::nearbyint(i * stride)));
  return timesteps;
}

Status sample_ddpm(const DiffusionSpec& spec, int steps, const NoisePrediction& predict,
                   uint64_t seed, uint64_t stream, std::span<float> x,
                   const StepObserver& observer) {
  ZT_ASSIGN_OR_RETURN(const std::vector<int> timesteps, respaced_timesteps(spec, steps));
  const std::vector<Step> plan = make_steps(spec, timesteps);
  // The first posterior variance is zero: its log is clipped to that of the step before.
  const double clipped =
      plan.size() > 1 ? plan[plan.size() - 2].posterior_variance() : plan.back().beta;
  std::vector<float> noise(x.size()), variance(spec.learned_variance ? x.size() : 0),
      fresh(x.size());
  for (size_t i = 0; i < plan.size(); ++i) {
    const Step& s = plan[i];
    ZT_RETURN_IF_ERROR(predict(timesteps[i], x, noise, variance));
    const bool last = i + 1 == plan.size();
    const double log_low = std::log(std::max(last ? clipped : s.posterior_variance(), 1e-20));
    const double log_high = std::log(s.beta);
    const double alpha_step = s.alpha / s.alpha_prev;
    const double from_start = std::sqrt(s.alpha_prev) * s.beta / (1 - s.alpha);
    const double from_now = std::sqrt(alpha_step) * (1 - s.alpha_prev) / (1 - s.alpha);
    if (!last) fill_normal(seed, stream + i, 0, fresh);
    for (size_t k = 0; k < x.size(); ++k) {
      const double start = (x[k] - std::sqrt(1 - s.alpha) * noise[k]) / std::sqrt(s.alpha);
      double value = from_start * start + from_now * x[k];
      if (!last) {
        const double mix = spec.learned_variance ? (variance[k] + 1) / 2 : 0;
        value += std::exp(0.5 * (mix * log_high + (1 - mix) * log_low)) * fresh[k];
      }
      x[k] = static_cast<float>(value);
    }
    if (observer && !observer(static_cast<int>(i) + 1, steps))
      return error(Code::kCancelled, "cancelled");
  }
  return Status();
}

Status sample_ddim(const DiffusionSpec& spec, int steps, const NoisePrediction& predict,
                   uint64_t seed, uint64_t stream, std::span<float> x,
                   const StepObserver& observer) {
  ZT_ASSIGN_OR_RETURN(const std::vector<int> timesteps, respaced_timesteps(spec, steps));
  const std::vector<Step> plan = make_steps(spec, timesteps);
  std::vector<float> noise(x.size()), variance(spec.learned_variance ? x.size() : 0),
      fresh(x.size());
  for (size_t i = 0; i < plan.size(); ++i) {
    const Step& s = plan[i];
    ZT_RETURN_IF_ERROR(predict(timesteps[i], x, noise, variance));
    const double sigma = spec.eta * std::sqrt(s.posterior_variance());
    const double direction = std::sqrt(std::max(0.0, 1 - s.alpha_prev - sigma * sigma));
    if (sigma > 0) fill_normal(seed, stream + i, 0, fresh);
    for (size_t k = 0; k < x.size(); ++k) {
      const double start = (x[k] - std::sqrt(1 - s.alpha) * noise[k]) / std::sqrt(s.alpha);
      double value = std::sqrt(s.alpha_prev) * start + direction * noise[k];
      if (sigma > 0) value += sigma * fresh[k];
      x[k] = static_cast<float>(value);
    }
    if (observer && !observer(static_cast<int>(i) + 1, steps))
      return error(Code::kCancelled, "cancelled");
  }
  return Status();
}

}  // namespace zoetrope
