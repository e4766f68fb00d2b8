#include "runtime/samplers/diffusion.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string_view>

#include "runtime/samplers/diffusion_tables.h"

namespace zoetrope {
namespace {

constexpr double kLeastVariance = 1e-20;  // diffusers' own clamp: logs of variances are taken

Status check_word(const char* field, const std::string& word,
                  std::initializer_list<std::string_view> known) {
  std::string list;
  for (const std::string_view k : known) {
    if (word == k) return Status();
    list += str(list.empty() ? "" : ", ", k);
  }
  return error(Code::kInvalidArgument, "unknown ", field, " '", word, "'; known: ", list);
}

Status check(const DiffusionSpec& spec) {
  ZT_RETURN_IF_ERROR(check_word("reference", spec.reference, {"original", "diffusers"}));
  ZT_RETURN_IF_ERROR(check_word("solver", spec.solver, {"ddpm", "ddim"}));
  ZT_RETURN_IF_ERROR(
      check_word("prediction", spec.prediction, {"epsilon", "sample", "v_prediction"}));
  ZT_RETURN_IF_ERROR(check_word("variance", spec.variance,
                                {"fixed_small", "fixed_large", "learned", "learned_range"}));
  if (!(spec.clip >= 0)) return error(Code::kInvalidArgument, "clip must not be negative");
  if (!(spec.eta >= 0 && spec.eta <= 1))
    return error(Code::kInvalidArgument, "eta ", spec.eta, ": expected 0 to 1");
  if (spec.reference == "original" && (spec.clip > 0 || !spec.final_alpha_one))
    return error(Code::kUnsupported,
                 "clip and final_alpha_one = false are known of the reference 'diffusers' alone");
  return Status();
}

}  // namespace

Result<std::vector<int>> spaced_timesteps(const DiffusionSpec& spec, int steps) {
  ZT_RETURN_IF_ERROR(
      check_word("spacing", spec.spacing, {"respaced", "leading", "trailing", "linspace"}));
  const int n = spec.train_steps;
  if (steps < 1 || steps > n)
    return error(Code::kInvalidArgument, "steps ", steps, ": this model takes 1 to ", n);
  if (spec.steps_offset != 0 && spec.spacing != "leading")
    return error(Code::kInvalidArgument, "steps_offset ", spec.steps_offset,
                 ": only the spacing 'leading' has one, not '", spec.spacing, "'");
  std::vector<double> places(static_cast<size_t>(steps), 0.0);  // ascending
  if (spec.spacing == "leading") {
    for (int i = 0; i < steps; ++i)
      places[static_cast<size_t>(i)] = i * (n / steps) + spec.steps_offset;
  } else if (spec.spacing == "trailing") {
    // NumPy's arange(n, 0, −n/steps), whose stride is the difference of its first two values; for
    // some counts it has a value too many, which is no timestep and is left out here.
    const double stride = (n - n / static_cast<double>(steps)) - n;
    for (int i = 0; i < steps; ++i)
      places[static_cast<size_t>(steps - 1 - i)] = std::nearbyint(n + i * stride) - 1;
  } else if (spec.spacing == "linspace") {
    const double stride = steps > 1 ? (n - 1) / static_cast<double>(steps - 1) : 0;
    for (int i = 0; i < steps; ++i) places[static_cast<size_t>(i)] = i * stride;
    if (steps > 1) places.back() = n - 1;
  } else {
    // The sum carries its rounding errors: so does improved-diffusion's.
    const double stride = steps > 1 ? (n - 1) / static_cast<double>(steps - 1) : 1;
    double place = 0;
    for (double& p : places) p = place, place += stride;
  }
  std::vector<int> timesteps;
  for (size_t i = places.size(); i-- > 0;) {
    const int t = static_cast<int>(std::nearbyint(places[i]));  // halves to even, as Python's
    if (t < 0 || t >= n)
      return error(Code::kInvalidArgument, "spacing '", spec.spacing, "' with ", steps,
                   " steps and steps_offset ", spec.steps_offset, " visits timestep ", t,
                   "; there are 0 to ", n - 1);
    timesteps.push_back(t);
  }
  return timesteps;
}

Result<DiffusionSampler> DiffusionSampler::create(const DiffusionSpec& spec, int steps) {
  ZT_RETURN_IF_ERROR(check(spec));
  DiffusionSampler sampler;
  sampler.spec_ = spec;
  sampler.ddim_ = spec.solver == "ddim";
  ZT_ASSIGN_OR_RETURN(sampler.alphas_, cumulative_alphas(spec));
  ZT_ASSIGN_OR_RETURN(const std::vector<int> timesteps, spaced_timesteps(spec, steps));
  if (spec.prediction == "epsilon")
    for (const int t : timesteps)
      if (sampler.alphas_[static_cast<size_t>(t)] <= 0)
        return error(Code::kInvalidArgument, "at timestep ", t,
                     " nothing but noise is left (zero_snr, or betas too large), and a model "
                     "that predicts it (epsilon) says nothing; v_prediction or sample would");
  if (spec.reference == "diffusers")
    sampler.fill_steps<float>(timesteps);
  else
    sampler.fill_steps<double>(timesteps);
  for (const Step& s : sampler.steps_)
    if (!std::isfinite(s.from_start + s.from_x + s.direction + s.deviation + s.log_high))
      return error(Code::kInvalidArgument, "at timestep ", s.timestep,
                   " the coefficients are not finite: betas too small or too large");
  return sampler;
}

// Every operation rounds to T, in the references' order: differences of values near one lose most
// of an f32's digits, so an exact coefficient would not be theirs.
template <typename T>
void DiffusionSampler::fill_steps(const std::vector<int>& timesteps) {
  const auto table = [&](int t) { return static_cast<T>(alphas_[static_cast<size_t>(t)]); };
  const int count = static_cast<int>(timesteps.size());
  const bool diffusers = spec_.reference == "diffusers";
  for (size_t i = 0; i < timesteps.size(); ++i) {
    const int t = timesteps[i];
    int previous = i + 1 < timesteps.size() ? timesteps[i + 1] : -1;
    if (ddim_ && diffusers) previous = t - spec_.train_steps / count;
    const T end = ddim_ && !spec_.final_alpha_one ? table(0) : T{1};
    const T alpha = table(t), alpha_prev = previous >= 0 ? table(previous) : end;
    const T rest = 1 - alpha, rest_prev = 1 - alpha_prev;
    const T kept = alpha / alpha_prev, beta = 1 - kept;
    const T posterior = rest_prev / rest * beta;
    Step s{};
    s.timestep = t;
    s.sqrt_alpha = std::sqrt(alpha);
    s.sqrt_beta = std::sqrt(rest);
    if (ddim_) {
      const T sigma = static_cast<T>(spec_.eta) * std::sqrt(std::max(posterior, T{0}));
      s.from_start = std::sqrt(alpha_prev);
      s.direction = std::sqrt(std::max(rest_prev - sigma * sigma, T{0}));
      s.deviation = sigma;
    } else {
      s.from_start = std::sqrt(alpha_prev) * beta / rest;
      s.from_x = std::sqrt(kept) * rest_prev / rest;
      const bool adds_noise = diffusers ? t > 0 : i + 1 < timesteps.size();
      const T small = std::max(posterior, static_cast<T>(kLeastVariance));
      s.log_low = std::log(small);
      s.log_high = std::log(beta);
      if (adds_noise) s.deviation = std::sqrt(spec_.variance == "fixed_large" ? beta : small);
    }
    steps_.push_back(s);
  }
}

bool DiffusionSampler::needs_noise(int index) const { return at(index).deviation > 0; }
bool DiffusionSampler::needs_variance() const { return !ddim_ && spec_.learned_variance(); }

double DiffusionSampler::predicted_start(const Step& s, double output, double x) const {
  double start = output;
  if (spec_.prediction == "epsilon") start = (x - s.sqrt_beta * output) / s.sqrt_alpha;
  if (spec_.prediction == "v_prediction") start = s.sqrt_alpha * x - s.sqrt_beta * output;
  return spec_.clip > 0 ? std::clamp(start, -spec_.clip, spec_.clip) : start;
}

void DiffusionSampler::predict_start(int index, std::span<const float> output,
                                     std::span<float> x) const {
  const Step& s = at(index);
  for (size_t k = 0; k < x.size(); ++k)
    x[k] = static_cast<float>(predicted_start(s, output[k], x[k]));
}

void DiffusionSampler::step(int index, std::span<const float> output,
                            std::span<const float> variance, std::span<const float> noise,
                            std::span<float> x) const {
  const Step& s = at(index);
  const bool range = spec_.variance == "learned_range", learned = needs_variance();
  for (size_t k = 0; k < x.size(); ++k) {
    const double start = predicted_start(s, output[k], x[k]);
    double value;
    if (ddim_) {
      // The predicted noise is of the model's own output: clipping leaves it as it is.
      double epsilon = output[k];
      if (spec_.prediction == "sample") epsilon = (x[k] - s.sqrt_alpha * output[k]) / s.sqrt_beta;
      if (spec_.prediction == "v_prediction")
        epsilon = s.sqrt_alpha * output[k] + s.sqrt_beta * x[k];
      value = s.from_start * start + s.direction * epsilon;
    } else {
      value = s.from_start * start + s.from_x * x[k];
    }
    if (s.deviation > 0) {
      double deviation = s.deviation;
      if (learned) {
        const double mix = (variance[k] + 1.0) / 2;
        deviation = range ? std::exp(0.5 * (mix * s.log_high + (1 - mix) * s.log_low))
                          : std::sqrt(static_cast<double>(variance[k]));
      }
      value += deviation * noise[k];
    }
    x[k] = static_cast<float>(value);
  }
}

void DiffusionSampler::add_noise(int index, std::span<const float> noise,
                                 std::span<float> x) const {
  const Step& s = at(index);
  for (size_t k = 0; k < x.size(); ++k)
    x[k] = static_cast<float>(s.sqrt_alpha * x[k] + s.sqrt_beta * noise[k]);
}

Status sample_diffusion(const DiffusionSampler& sampler, const DiffusionModel& model,
                        const StepNoise& noise, std::span<float> x, const StepObserver& observer,
                        int first) {
  std::vector<float> output(x.size()), variance(sampler.needs_variance() ? x.size() : 0), fresh;
  for (int i = first; i < sampler.steps(); ++i) {
    ZT_RETURN_IF_ERROR(model(sampler.timestep(i), x, output, variance));
    fresh.resize(sampler.needs_noise(i) ? x.size() : 0);
    if (!fresh.empty()) noise(i, fresh);
    sampler.step(i, output, variance, fresh, x);
    if (observer && !observer(i + 1 - first, sampler.steps() - first))
      return error(Code::kCancelled, "asked to stop");
  }
  return Status();
}

}  // namespace zoetrope
