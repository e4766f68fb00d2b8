// The steps of a stage that denoises.
#include <algorithm>
#include <cmath>

#include "runtime/engine/stages/denoiser.h"
#include "runtime/random/normal.h"
#include "runtime/samplers/diffusion.h"
#include "runtime/samplers/flow.h"

namespace zoetrope {
namespace {

// Noise of sample s: streams s·n … s·n + n − 1 of the seed for n streams of latents; that of its
// steps: kStepNoise·(s + 1) + step·n + stream. Of the k-th stage that goes on, k·kStageNoise more.
constexpr uint64_t kStepNoise = uint64_t{1} << 32, kStageNoise = uint64_t{1} << 56;

// What the stage is told of latents that are known.
std::vector<const KnownLatents*> known_of(const Denoise& denoise, const Recipe& recipe) {
  std::vector<const KnownLatents*> all;
  for (const Stage& stage : recipe.stages)
    if (const auto* known = std::get_if<KnownLatents>(&stage))
      if (std::any_of(denoise.conditions.begin(), denoise.conditions.end(),
                      [&](const auto& condition) { return condition.value == known->gives; }))
        all.push_back(known);
  return all;
}

// Known latents are what was given, not what the network made of them, and graded ones so much of
// it.
void keep_known(const Denoise& denoise, RunContext* c) {
  for (const KnownLatents* s : known_of(denoise, c->model.recipe)) {
    if (!s->kept() || !c->latents.contains(s->latents)) continue;
    if (!c->values.contains(s->gives)) continue;  // latents alone are decoded
    std::vector<float>& latents = c->latents[s->latents];
    const auto known = std::as_const(c->values[s->gives]).as<float>();
    const auto masks = std::as_const(c->values[s->gives_mask]).as<float>();
    const size_t channels = known.size() / masks.size();
    for (size_t i = 0; i < latents.size(); ++i) {  // every sample has the same
      const float mask = masks[i % known.size() / channels];
      if (mask == static_cast<float>(s->mask_known))
        latents[i] = known[i % known.size()];
      else if (s->graded)
        latents[i] +=
            mask / static_cast<float>(s->mask_known) * (known[i % known.size()] - latents[i]);
    }
  }
}

class Denoising {
 public:
  explicit Denoising(RunContext* c)
      : c_(*c),
        pass_(c->plan.pass(c->stage)),
        s_(pass_.denoise),
        index_(pass_index()),
        samples_(static_cast<size_t>(c->plan.samples)) {}

  Status run() {
    denoiser_.open(&c_, pass_);
    ZT_RETURN_IF_ERROR(check_states());
    if (pass_.next_step < s_.steps) ZT_RETURN_IF_ERROR(denoiser_.take(first_network()));
    ZT_RETURN_IF_ERROR(begin());
    const auto start = std::chrono::steady_clock::now();
    if (index_ == 0) c_.stats.first_step_seconds = c_.seconds_since_start();
    ZT_RETURN_IF_ERROR(report());
    if (pass_.next_step < s_.steps)
      ZT_RETURN_IF_ERROR(std::holds_alternative<FlowSampler>(s_.sampler) ? flow() : diffusion());
    c_.stats.denoise_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (float x : state_.latents)
      if (!std::isfinite(x))
        return error(Code::kDataLoss,
                     "denoising gave NaN or infinity: the weights are damaged, or the compute type "
                     "is too narrow for this model");
    keep_latents();
    return Status();
  }

 private:
  // 0 for the first stage that denoises.
  size_t pass_index() const {
    for (size_t i = 0; i < c_.plan.later.size(); ++i)
      if (&c_.plan.later[i] == &pass_) return i + 1;
    return 0;
  }
  size_t first_network() const {
    const auto& told = pass_.points.times;  // of flow matching alone
    return told.empty() ? 0 : s_.network_at(told[static_cast<size_t>(pass_.next_step)]);
  }
  // Gives the clip's latents: those of key frames, behind them, have served.
  void keep_latents() {
    for (size_t i = 0; i < s_.streams.size(); ++i) {
      const std::string& name = s_.streams[i].latents;
      const auto part = denoiser_.stream(i, std::span<float>(state_.latents));
      c_.latents[name].assign(part.begin(), part.end());
    }
    keep_known(s_, &c_);
    for (size_t i = 0; i < s_.streams.size(); ++i)
      if (c_.model.recipe.find_latents(s_.streams[i].latents)->media == Modality::kVideo)
        cut_key_frames(&c_.latents[s_.streams[i].latents]);
  }
  // What denoising is now goes to the hooks, and then how far it is: who cancels has the last step.
  Status report() const {
    if (index_ == 0) ZT_RETURN_IF_ERROR(c_.report_state(state_));
    return c_.report(task_of(c_.plan, pass_), state_.step - state_.first,
                     state_.steps - state_.first);
  }
  StepObserver observer() {
    return [this](int done, int) {
      state_.step = pass_.next_step + done;
      const int step = state_.step - state_.first;
      show_denoised(step);
      stopped_ = show(str("step ", step), step);
      if (stopped_.ok()) stopped_ = report();
      return stopped_.ok();
    };
  }
  Status show(std::string name, int step) const {
    if (!c_.observed()) return Status();
    if (index_ > 0) name = "refining, " + name;
    const std::vector<float>& x = state_.latents;
    const TensorType type{DType::kF32, {static_cast<int64_t>(x.size())}};
    return c_.observe({"denoise", std::move(name), type, x.data(), step, s_.steps - state_.first});
  }
  // The latents lie on a straight line from noise, on which the last velocity points to their end.
  void show_denoised(int step) {
    if (!wants_denoised() || denoised_.size() != state_.latents.size()) return;
    if (std::holds_alternative<FlowSampler>(s_.sampler)) {
      size_t at = 0;
      for_parts(denoised_, [&](std::span<float> part, size_t, size_t i) {
        const float left = sigma_of(i, state_.step);
        for (float& x : part) x = state_.latents[at++] - left * x;
      });
    }
    c_.report_denoised(denoised_, step, s_.steps - state_.first);
  }
  float sigma_of(size_t stream, int step) const {
    return static_cast<float>(pass_.points_of(stream).sigmas[static_cast<size_t>(step)]);
  }
  // Of the clip's own latents at their size: what looks at them knows no others.
  bool wants_denoised() const {
    return c_.wants_denoised() && !s_.reduced.any() && c_.plan.shape.key_frames == 0;
  }
  // The sampler's own error, or why a hook stopped it.
  Status reason(Status ran) const { return stopped_.ok() ? ran : stopped_; }

  // A network that remembers its last call cannot go on elsewhere.
  Status check_states() const {
    if (!c_.wants_states() && c_.request.resume == nullptr) return Status();
    for (size_t i = 0; i < s_.networks(); ++i)
      if (const Graph* graph = c_.model.component(s_.network(i)); !graph->states.empty())
        return error(Code::kUnsupported, "'", graph->name,
                     "' carries a state of its own from step to step; such a run cannot be saved "
                     "and resumed");
    return Status();
  }

  // Noise and what else denoising starts from, or the state to go on from.
  Status begin() {
    if (c_.request.resume != nullptr && index_ == 0) {
      state_ = c_.request.resume->state;
      return Status();
    }
    state_.step = state_.first = pass_.first_step;
    state_.steps = s_.steps;
    ZT_RETURN_IF_ERROR(draw_noise());
    ZT_RETURN_IF_ERROR(show("noise", 0));
    return mix_start();
  }

  // Calls with each sample of each stream and the two indices.
  template <typename F>
  void for_parts(std::span<float> x, F call) const {
    for (size_t i = 0; i < s_.streams.size(); ++i) {
      const std::span<float> stream = denoiser_.stream(i, x);
      const size_t row = stream.size() / samples_;
      for (size_t k = 0; k < samples_; ++k) call(stream.subspan(k * row, row), k, i);
    }
  }

  Status draw_noise() {
    const size_t size = denoiser_.elements();
    const std::vector<float>& given = c_.request.noise;
    if (!given.empty()) return take_noise(given, size);
    state_.latents.resize(size);
    const uint64_t n = s_.streams.size();
    for_parts(state_.latents, [&](std::span<float> part, uint64_t k, uint64_t i) {
      fill_normal(c_.request.seed, index_ * kStageNoise + k * n + i, 0, part);
    });
    return Status();
  }

  // That of each stage stands behind that of the one before.
  Status take_noise(const std::vector<float>& given, size_t size) {
    size_t before = 0, all = 0;
    const auto elements = [&](const DenoisePlan& pass) {
      size_t sum = 0;
      for (const Denoise::Stream& stream : pass.denoise.streams)
        sum += static_cast<size_t>(denoised_shape(pass.denoise,
                                                  *c_.model.recipe.find_latents(stream.latents),
                                                  c_.plan.shape, c_.plan.samples)
                                       .elements());
      return sum;
    };
    all = elements(c_.plan);
    for (size_t i = 0; i < c_.plan.later.size(); ++i) {
      if (index_ == i + 1) before = all;
      all += elements(c_.plan.later[i]);
    }
    if (const LatentSpec* video = c_.model.recipe.picture(); c_.plan.shape.end_pictures > 0)
      all += static_cast<size_t>(
          latent_shape(*video, c_.plan.shape, 1, c_.plan.shape.end_pictures).elements());
    if (given.size() != all)
      return error(Code::kInvalidArgument, "the given noise has ", given.size(),
                   " elements; this request takes ", all);
    const auto from = given.begin() + static_cast<int64_t>(before);
    state_.latents.assign(from, from + static_cast<int64_t>(size));
    return Status();
  }

  // What denoising starts from: a picture that is given, for every sample, or what the stage before
  // has made; empty where there is neither. Of key frames nothing is there yet: the network sees
  // what is known of them.
  std::vector<float> start() const {
    std::vector<float> all;
    if (c_.start.empty() && index_ == 0) return all;
    all.resize(state_.latents.size());
    for_parts(all, [&](std::span<float> part, size_t k, size_t i) {
      const auto& from = index_ == 0 ? c_.start : c_.latents;
      const auto it = from.find(s_.streams[i].latents);
      if (it == from.end()) return;
      const size_t row = it->second.size() / (index_ == 0 ? 1 : samples_);
      const auto begin = it->second.begin() + static_cast<int64_t>(index_ == 0 ? 0 : k * row);
      std::copy_n(begin, row, part.begin());
      lay_over_known(s_.streams[i].latents, part);
    });
    return all;
  }

  // What is known in part begins as it is known.
  void lay_over_known(const std::string& latents, std::span<float> part) const {
    for (const KnownLatents* known : known_of(s_, c_.model.recipe)) {
      if (!known->graded || known->latents != latents) continue;
      if (!c_.values.contains(known->gives)) continue;  // latents alone are decoded
      const auto values = std::as_const(c_.values[known->gives]).as<float>();
      const auto masks = std::as_const(c_.values[known->gives_mask]).as<float>();
      const size_t channels = values.size() / masks.size();
      for (size_t i = 0; i < values.size(); ++i)
        if (masks[i / channels] > 0) part[i] = values[i];
    }
  }

  // Of each sample.
  void cut_key_frames(std::vector<float>* latents) const {
    const int64_t keys = c_.plan.shape.key_frames, frames = c_.plan.shape.latent_frames;
    if (keys == 0) return;
    const size_t row = latents->size() / samples_,
                 kept = row / static_cast<size_t>(frames + keys) * static_cast<size_t>(frames);
    for (size_t k = 0; k < samples_; ++k)
      std::copy_n(latents->begin() + static_cast<int64_t>(k * row), kept,
                  latents->begin() + static_cast<int64_t>(k * kept));
    latents->resize(kept * samples_);
  }

  // A picture that is given, as noisy as the first step expects.
  Status mix_start() {
    std::vector<float> from = start();
    if (from.empty()) return Status();
    std::vector<float>& x = state_.latents;
    if (std::holds_alternative<FlowSampler>(s_.sampler)) {
      // Where no step is taken they are decoded as they stand.
      const bool done = pass_.next_step == s_.steps && index_ > 0;
      size_t at = 0;
      for_parts(x, [&](std::span<float> part, size_t, size_t i) {
        const float t = done ? 0 : sigma_of(i, state_.first);
        for (float& value : part) value = (1 - t) * from[at++] + t * value;
      });
      return Status();
    }
    ZT_ASSIGN_OR_RETURN(const DiffusionSampler sampler, diffusion_sampler());
    sampler.add_noise(state_.first, x, from);
    x = std::move(from);
    return Status();
  }

  Result<DiffusionSampler> diffusion_sampler() const {
    return DiffusionSampler::create(std::get<DiffusionSpec>(s_.sampler), s_.steps);
  }

  // Standard normal noise of a step, of every sample its own.
  StepNoise step_noise() const {
    const uint64_t n = s_.streams.size();
    return [this, n](int step, std::span<float> out) {
      for_parts(out, [&](std::span<float> part, uint64_t k, uint64_t i) {
        const uint64_t stream = kStepNoise * (k + 1) + static_cast<uint64_t>(step) * n + i;
        fill_normal(c_.request.seed, index_ * kStageNoise + stream, 0, part);
      });
    };
  }

  // A step of Euler is as long as the stage's: a stream's that is longer goes as much faster.
  Status follow_own_times(size_t step, std::span<float> v) {
    if (pass_.stream_points.empty()) return Status();
    const auto length = [&](const FlowPoints& p) { return p.sigmas[step + 1] - p.sigmas[step]; };
    for (size_t i = 0; i < s_.streams.size(); ++i) {
      const double faster = length(pass_.points_of(i)) / length(pass_.points);
      for (float& value : denoiser_.stream(i, v)) value = static_cast<float>(value * faster);
    }
    return Status();
  }

  Status flow() {
    const Velocity velocity = [&](double told, std::span<const float> x, std::span<float> v) {
      denoiser_.at_step(state_.step);
      ZT_RETURN_IF_ERROR(denoiser_.take(s_.network_at(told)));
      ZT_RETURN_IF_ERROR(denoiser_.evaluate(told, x, v, {}));
      if (wants_denoised()) denoised_.assign(v.begin(), v.end());
      return follow_own_times(pass_.step_at(told), v);
    };
    return reason(sample_flow(std::get<FlowSampler>(s_.sampler), pass_.points, velocity,
                              step_noise(), state_.latents, observer(), pass_.next_step,
                              &state_.solver));
  }

  Status diffusion() {
    ZT_ASSIGN_OR_RETURN(const DiffusionSampler sampler, diffusion_sampler());
    const DiffusionModel model = [&](int t, std::span<const float> x, std::span<float> output,
                                     std::span<float> variance) {
      denoiser_.at_step(state_.step);
      ZT_RETURN_IF_ERROR(denoiser_.evaluate(t, x, output, variance));
      if (!wants_denoised()) return Status();
      denoised_.assign(x.begin(), x.end());
      sampler.predict_start(state_.step, output, denoised_);
      return Status();
    };
    return reason(sample_diffusion(sampler, model, step_noise(), state_.latents, observer(),
                                   pass_.next_step));
  }

  RunContext& c_;
  const DenoisePlan& pass_;
  const Denoise& s_;
  const size_t index_;  // among the stages that denoise
  const size_t samples_;
  Denoiser denoiser_;
  DenoiseState state_;
  Status stopped_;  // by a hook
  // Of the last evaluation, where a hook wants it: the velocity or, with diffusion, the prediction.
  std::vector<float> denoised_;
};

}  // namespace

std::string task_of(const RequestPlan& plan, const DenoisePlan& pass) {
  return &pass == &static_cast<const DenoisePlan&>(plan) ? "denoise" : "refine";
}

Status run_denoising(RunContext* c) { return Denoising(c).run(); }

}  // namespace zoetrope
