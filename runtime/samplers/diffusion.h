// Samplers of discrete-time diffusion models that predict noise: DDPM (arXiv 2006.11239, with the
// learned-range variance of arXiv 2102.09672) and DDIM (arXiv 2010.02502).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/samplers/flow.h"

namespace zoetrope {

struct DiffusionSpec {
  int train_steps = 1000;
  double beta_first = 1e-4, beta_last = 2e-2;  // linear betas
  bool learned_variance = true;  // the model also gives the interpolation of log variances
  double eta = 0;                // DDIM: 0 deterministic, 1 as random as DDPM
};

// Timesteps of the original process that `steps` sampling steps visit, last first: evenly spaced
// from 0 to train_steps − 1, rounded, as improved diffusion respaces them.
Result<std::vector<int>> respaced_timesteps(const DiffusionSpec& spec, int steps);

// Writes the predicted noise for original timestep `t` and, where variances are learned, the
// model's raw variance output in [−1, 1] (else `variance` is empty).
using NoisePrediction = std::function<Status(int t, std::span<const float> x,
                                             std::span<float> noise, std::span<float> variance)>;

// Noise of step i is stream `stream + i` of the seed.
Status sample_ddpm(const DiffusionSpec& spec, int steps, const NoisePrediction& predict,
                   uint64_t seed, uint64_t stream, std::span<float> x,
                   const StepObserver& observer = {});
Status sample_ddim(const DiffusionSpec& spec, int steps, const NoisePrediction& predict,
                   uint64_t seed, uint64_t stream, std::span<float> x,
                   const StepObserver& observer = {});

}  // namespace zoetrope
