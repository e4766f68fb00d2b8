// Samplers of discrete-time diffusion models: DDPM (arXiv 2006.11239, with the learned variance of
// arXiv 2102.09672) and DDIM (arXiv 2010.02502), as improved-diffusion and as diffusers step.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "graph/format/diffusion_spec.h"
#include "runtime/samplers/flow.h"

namespace zoetrope {

// The coefficients of every step, computed once. Immutable, so any thread may use it; a step reads
// nothing but its arguments, so a run may stop after any step and go on from x and the step's
// index.
class DiffusionSampler {
 public:
  // Checks every field of the spec. `steps`: 1 to spec.train_steps.
  static Result<DiffusionSampler> create(const DiffusionSpec& spec, int steps);

  int steps() const { return static_cast<int>(steps_.size()); }
  // What the model is told at step `index`; falls from step to step.
  int timestep(int index) const { return at(index).timestep; }
  bool needs_noise(int index) const;
  // Whether steps read the model's variance: DDPM's that learned it. DDIM never does.
  bool needs_variance() const;

  // x becomes the sample after step `index`. `output`: the model's prediction at x, guidance
  // included; `variance`: its raw variance output, if needs_variance(), else empty; `noise`:
  // standard normal, if needs_noise(index), else empty. All as long as x.
  void step(int index, std::span<const float> output, std::span<const float> variance,
            std::span<const float> noise, std::span<float> x) const;

  // x, as step `index` gets it, becomes the clean sample that the model's output predicts.
  void predict_start(int index, std::span<const float> output, std::span<float> x) const;

  // A clean x becomes one as noisy as step `index` expects: where image to image begins.
  void add_noise(int index, std::span<const float> noise, std::span<float> x) const;

  // cumulative products of (1 − beta) by original timestep
  const std::vector<double>& alphas() const { return alphas_; }

 private:
  struct Step {
    int timestep;
    double sqrt_alpha, sqrt_beta;  // of this timestep's cumulative alpha and of 1 − alpha
    double from_start, from_x;     // DDPM: of the predicted sample and of x
    double direction;              // DDIM: of the predicted noise
    double deviation;              // of fresh noise, where it is fixed; 0: none is added
    double log_low, log_high;      // learned_range: bounds of the log variance
  };
  const Step& at(int index) const { return steps_[static_cast<size_t>(index)]; }
  template <typename T>
  void fill_steps(const std::vector<int>& timesteps);
  double predicted_start(const Step& s, double output, double x) const;

  DiffusionSpec spec_;
  bool ddim_ = false;
  std::vector<double> alphas_;
  std::vector<Step> steps_;
};

// Timesteps that `steps` sampling steps visit, last first. Errors say what spacing takes.
Result<std::vector<int>> spaced_timesteps(const DiffusionSpec& spec, int steps);

// Writes the model's output at original timestep `t`, guidance included, and, where the sampler
// needs it, the raw variance output (else `variance` is empty).
using DiffusionModel = std::function<Status(int t, std::span<const float> x,
                                            std::span<float> output, std::span<float> variance)>;

// Steps `first` to the last; x holds what step `first` expects and becomes the result.
Status sample_diffusion(const DiffusionSampler& sampler, const DiffusionModel& model,
                        const StepNoise& noise, std::span<float> x,
                        const StepObserver& observer = {}, int first = 0);

}  // namespace zoetrope
