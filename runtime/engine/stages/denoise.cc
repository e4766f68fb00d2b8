// From noise, or from a picture and noise, to latents: flow matching or discrete-time diffusion,
// with guidance. One network call holds what is wanted and what is not, or each has its own, one
// after the other or on two devices at once.
#include <algorithm>
#include <cmath>
#include <future>

#include "runtime/engine/stages/denoiser.h"
#include "runtime/random/normal.h"
#include "runtime/samplers/diffusion.h"
#include "runtime/samplers/flow.h"

namespace zoetrope {
namespace {

// Noise of sample s: streams s·n … s·n + n − 1 of the seed for n streams of latents; that of its
// steps: kStepNoise·(s + 1) + step·n + stream.
constexpr uint64_t kStepNoise = uint64_t{1} << 32;

std::vector<NamedType> inputs_of(const Denoise& s, const Recipe& recipe, const ClipShape& shape,
                                 const std::map<std::string, TensorType>& values, int64_t rows) {
  std::vector<NamedType> inputs{{s.time, {DType::kF32, {rows}}}};
  for (const Denoise::Stream& stream : s.streams)
    inputs.push_back(
        {stream.input,
         {DType::kF32, latent_shape(*recipe.find_latents(stream.latents), shape, rows)}});
  for (const Denoise::Condition& condition : s.conditions) {
    TensorType type = values.at(condition.value);
    type.shape[0] = rows;
    inputs.push_back({condition.input, type});
  }
  for (const Denoise::Weaker& weaker : s.weaker)
    inputs.push_back({weaker.input, {DType::kF32, {rows}}});
  return inputs;
}

// Outputs have the latents' channels or, with diffusion, twice as many.
std::vector<NamedType> outputs_of(const Denoise& s, const Recipe& recipe, const ClipShape& shape,
                                  int64_t rows, bool twice) {
  std::vector<NamedType> outputs;
  for (const Denoise::Stream& stream : s.streams) {
    Shape out = latent_shape(*recipe.find_latents(stream.latents), shape, rows);
    if (twice) out[-1] = 2 * out[-1];
    outputs.push_back({stream.output, {DType::kF32, out}});
  }
  return outputs;
}

bool learns_variance(const Denoise& s) {
  const auto* diffusion = std::get_if<DiffusionSpec>(&s.sampler);
  return diffusion != nullptr && diffusion->solver == "ddpm" && diffusion->learned_variance();
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<Denoise>(stage);
  const Recipe& recipe = c->model.recipe;
  const bool diffusion = std::holds_alternative<DiffusionSpec>(s.sampler);
  for (const Denoise::Stream& stream : s.streams)
    if (s.guidance_channels > recipe.find_latents(stream.latents)->channels)
      return error(Code::kDataLoss, "recipe: guidance of ", s.guidance_channels, " channels; '",
                   stream.latents, "' has ", recipe.find_latents(stream.latents)->channels);
  if (diffusion)
    ZT_RETURN_IF_ERROR(
        DiffusionSampler::create(std::get<DiffusionSpec>(s.sampler), s.steps).status());
  else {
    FlowSampler flow = std::get<FlowSampler>(s.sampler);
    ZT_RETURN_IF_ERROR(fix_shift(&flow, c->shape.latents()));
    ZT_RETURN_IF_ERROR(space_flow(flow, s.steps).status());
  }
  Status status;
  for (size_t network = 0; network < s.networks(); ++network)
    for (int64_t rows : {1, 2}) {
      const std::string& component = s.network(network);
      const auto inputs = inputs_of(s, recipe, c->shape, c->values, rows);
      status = learns_variance(s)
                   ? Status()
                   : c->check(component, inputs, outputs_of(s, recipe, c->shape, rows, false));
      if (diffusion && (!status.ok() || learns_variance(s))) {
        const Status twice =
            c->check(component, inputs, outputs_of(s, recipe, c->shape, rows, true));
        if (twice.ok() || learns_variance(s)) status = twice;
      }
      ZT_RETURN_IF_ERROR(status);
    }
  return Status();
}

// `rows` of one call of a network.
JobSpec job_of(const Denoise& s, const PlanContext& c, size_t network, int64_t rows) {
  JobSpec job;
  job.name = network == 0 ? "denoise" : str("denoise below ", s.experts[network - 1].below);
  job.task = "denoise";
  job.component = s.network(network);
  job.key = denoise_key(network, 0);
  job.inputs = inputs_of(s, c.model.recipe, c.plan.shape, c.values, rows);
  job.outputs = outputs_of(s, c.model.recipe, c.plan.shape, rows, false);
  for (NamedType& out : job.outputs) out.type.shape[-1] = kAnyExtent;  // see check_channels
  job.calls = c.plan.networks[network].evaluations;
  return job;
}

// Outputs have the latents' channels, or twice as many where variance comes with them.
Status check_channels(const Denoise& s, const Recipe& recipe, const Job& job) {
  for (const Denoise::Stream& stream : s.streams)
    for (const PlanBinding& out : job.plan->outputs) {
      if (out.name != stream.output) continue;
      const int64_t channels = recipe.find_latents(stream.latents)->channels,
                    found = job.plan->graph.value(out.value).type.shape[-1];
      if (found == 2 * channels && std::holds_alternative<DiffusionSpec>(s.sampler)) continue;
      if (found != channels || learns_variance(s))
        return error(Code::kInvalidArgument, "component '", job.component, "' gives ", found,
                     " channels; ",
                     learns_variance(s) ? "ddpm with a learned variance" : "the sampler", " takes ",
                     (learns_variance(s) ? 2 : 1) * channels);
    }
  return Status();
}

// Two jobs of half the rows, for two devices that work at once.
Result<std::vector<Job>> halves_on(const JobSpec& whole, PlanContext* c, size_t network,
                                   const std::vector<EngineDevice*>& devices) {
  std::vector<Job> jobs;
  for (size_t half = 0; half < 2; ++half) {
    JobSpec spec = whole;
    spec.name += half == 0 ? ", wanted" : ", unwanted";
    spec.key = denoise_key(network, half);
    ZT_ASSIGN_OR_RETURN(jobs.emplace_back(), c->consider_on(spec, devices[half]));
    jobs.back().with_next = half == 0;
  }
  return jobs;
}

void take_halves(PlanContext* c, size_t network, std::vector<Job> jobs) {
  c->plan.networks[network].rows_a_call = c->plan.samples;
  c->plan.networks[network].halves = true;
  for (Job& job : jobs) c->plan.jobs.push_back(std::move(job));
}

// Halves on the two devices that together are sooner done than the best one alone, if any are.
Status split_automatically(const Denoise& s, PlanContext* c, size_t network) {
  const Job& whole = c->plan.jobs.back();
  ZT_ASSIGN_OR_RETURN(const auto all, c->candidates());
  if (all.size() < 2 || whole.seconds == 0 || c->is_placed(whole.component)) return Status();
  std::vector<Job> best;
  double soonest = whole.seconds;
  for (size_t a = 0; a < all.size(); ++a)
    for (size_t b = a + 1; b < all.size(); ++b) {
      auto jobs = halves_on(job_of(s, *c, network, c->plan.samples), c, network, {all[a], all[b]});
      if (!jobs.ok()) continue;  // one of them lacks a kernel
      const double seconds = std::max((*jobs)[0].seconds, (*jobs)[1].seconds);
      const bool room = std::all_of(jobs->begin(), jobs->end(), [&](const Job& job) {
        const int64_t budget = c->budget(*job.device);
        return job.seconds > 0 && (budget <= 0 || job.bytes() <= budget);
      });
      if (!room || seconds >= soonest) continue;
      soonest = seconds;
      best = std::move(*jobs);
    }
  if (best.empty()) return Status();
  c->plan.jobs.pop_back();
  take_halves(c, network, std::move(best));
  return Status();
}

Status plan_network(const Denoise& s, PlanContext* c, size_t network) {
  NetworkPlan& n = c->plan.networks[network];
  const std::string& component = s.network(network);
  const bool sequential = n.blocks() > 1 && c->request.guidance_mode == GuidanceMode::kSequential;
  ZT_ASSIGN_OR_RETURN(const auto devices, c->devices_for(component));
  if (devices.size() == 2 && n.blocks() != 2)
    return error(Code::kInvalidArgument, "two devices for '", component, "', but ",
                 n.blocks() == 1 ? "without guidance a step has no halves"
                                 : "a step of this model has more than two parts");
  if (devices.size() == 2 && sequential)
    return error(Code::kInvalidArgument,
                 "the halves of a guided step either run on two devices at "
                 "once or one after the other on one; give one of the two");
  if (devices.size() == 2) {
    ZT_ASSIGN_OR_RETURN(std::vector<Job> jobs,
                        halves_on(job_of(s, *c, network, c->plan.samples), c, network, devices));
    take_halves(c, network, std::move(jobs));
    return check_channels(s, c->model.recipe, c->plan.jobs.back());
  }
  n.rows_a_call = sequential ? c->plan.samples : n.blocks() * c->plan.samples;
  JobSpec spec = job_of(s, *c, network, n.rows_a_call);
  if (sequential) {  // one session takes the conditions of either half in turn
    spec.calls *= static_cast<double>(n.blocks());
    spec.clip_calls = spec.calls;
  }
  ZT_ASSIGN_OR_RETURN(const Job* whole, c->add(spec));
  ZT_RETURN_IF_ERROR(check_channels(s, c->model.recipe, *whole));
  return n.blocks() == 2 && n.guided() && !sequential ? split_automatically(s, c, network)
                                                      : Status();
}

Status plan(const Stage&, PlanContext* c) {
  const Denoise& s = c->plan.denoise;  // with the request applied
  for (size_t network = 0; network < s.networks(); ++network)
    if (c->plan.networks[network].evaluations > 0) ZT_RETURN_IF_ERROR(plan_network(s, c, network));
  return Status();
}

// Wholly known latents are what was given, not what the network made of them.
void keep_known(RunContext* c) {
  for (const Stage& stage : c->model.recipe.stages) {
    const auto* s = std::get_if<KnownLatents>(&stage);
    if (s == nullptr || !s->kept() || !c->latents.contains(s->latents)) continue;
    if (!c->values.contains(s->gives)) continue;  // latents alone are decoded
    std::vector<float>& latents = c->latents[s->latents];
    const auto known = std::as_const(c->values[s->gives]).as<float>();
    const auto masks = std::as_const(c->values[s->gives_mask]).as<float>();
    const size_t channels = known.size() / masks.size();
    for (size_t i = 0; i < latents.size(); ++i)  // every sample has the same
      if (masks[i % known.size() / channels] == static_cast<float>(s->mask_known))
        latents[i] = known[i % known.size()];
  }
}

class Denoising {
 public:
  explicit Denoising(RunContext* c)
      : c_(*c), s_(c->plan.denoise), samples_(static_cast<size_t>(c->plan.samples)) {}

  Status run() {
    denoiser_.open(&c_);
    ZT_RETURN_IF_ERROR(check_states());
    if (c_.plan.next_step < s_.steps) ZT_RETURN_IF_ERROR(denoiser_.take(first_network()));
    ZT_RETURN_IF_ERROR(begin());
    const auto start = std::chrono::steady_clock::now();
    c_.stats.first_step_seconds = c_.seconds_since_start();
    ZT_RETURN_IF_ERROR(report());
    if (c_.plan.next_step < s_.steps)
      ZT_RETURN_IF_ERROR(std::holds_alternative<FlowSampler>(s_.sampler) ? flow() : diffusion());
    c_.stats.denoise_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (float x : state_.latents)
      if (!std::isfinite(x))
        return error(Code::kDataLoss,
                     "denoising gave NaN or infinity: the weights are damaged, or the compute type "
                     "is too narrow for this model");
    for (size_t i = 0; i < s_.streams.size(); ++i) {
      const auto part = denoiser_.stream(i, std::span<float>(state_.latents));
      c_.latents[s_.streams[i].latents].assign(part.begin(), part.end());
    }
    keep_known(&c_);
    return Status();
  }

 private:
  size_t first_network() const {
    const auto& told = c_.plan.points.times;  // of flow matching alone
    return told.empty() ? 0 : s_.network_at(told[static_cast<size_t>(c_.plan.next_step)]);
  }
  // What denoising is now goes to the hooks, and then how far it is: who cancels has the last step.
  Status report() const {
    ZT_RETURN_IF_ERROR(c_.report_state(state_));
    return c_.report("denoise", state_.step - state_.first, state_.steps - state_.first);
  }
  StepObserver observer() {
    return [this](int done, int) {
      state_.step = c_.plan.next_step + done;
      const int step = state_.step - state_.first;
      show_denoised(step);
      stopped_ = show(str("step ", step), step);
      if (stopped_.ok()) stopped_ = report();
      return stopped_.ok();
    };
  }
  Status show(std::string name, int step) const {
    if (!c_.observed()) return Status();
    const std::vector<float>& x = state_.latents;
    const TensorType type{DType::kF32, {static_cast<int64_t>(x.size())}};
    return c_.observe({"denoise", std::move(name), type, x.data(), step, s_.steps - state_.first});
  }
  // The latents lie on a straight line from noise, on which the last velocity points to their end.
  void show_denoised(int step) {
    if (!c_.wants_denoised() || denoised_.size() != state_.latents.size()) return;
    if (std::holds_alternative<FlowSampler>(s_.sampler)) {
      const auto left = static_cast<float>(c_.plan.points.sigmas[static_cast<size_t>(state_.step)]);
      for (size_t i = 0; i < denoised_.size(); ++i)
        denoised_[i] = state_.latents[i] - left * denoised_[i];
    }
    c_.report_denoised(denoised_, step, s_.steps - state_.first);
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
    if (c_.request.resume != nullptr) {
      state_ = c_.request.resume->state;
      return Status();
    }
    state_.step = state_.first = c_.plan.first_step;
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
    if (!given.empty() && given.size() != size)
      return error(Code::kInvalidArgument, "the given noise has ", given.size(),
                   " elements; this request takes ", size);
    state_.latents = given;
    if (!given.empty()) return Status();
    state_.latents.resize(size);
    const uint64_t n = s_.streams.size();
    for_parts(state_.latents, [&](std::span<float> part, uint64_t k, uint64_t i) {
      fill_normal(c_.request.seed, k * n + i, 0, part);
    });
    return Status();
  }

  // What denoising starts from, for every sample; empty where no picture is given.
  std::vector<float> start() const {
    std::vector<float> all;
    if (c_.start.empty()) return all;
    all.resize(state_.latents.size());
    for_parts(all, [&](std::span<float> part, size_t, size_t i) {
      const auto it = c_.start.find(s_.streams[i].latents);
      if (it != c_.start.end()) std::copy(it->second.begin(), it->second.end(), part.begin());
    });
    return all;
  }

  // A picture that is given, as noisy as the first step expects.
  Status mix_start() {
    std::vector<float> from = start();
    if (from.empty()) return Status();
    std::vector<float>& x = state_.latents;
    if (std::holds_alternative<FlowSampler>(s_.sampler)) {
      const auto t = static_cast<float>(c_.plan.points.sigmas[static_cast<size_t>(state_.first)]);
      for (size_t i = 0; i < x.size(); ++i) x[i] = (1 - t) * from[i] + t * x[i];
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
        fill_normal(c_.request.seed, kStepNoise * (k + 1) + static_cast<uint64_t>(step) * n + i, 0,
                    part);
      });
    };
  }

  Status flow() {
    const Velocity velocity = [&](double told, std::span<const float> x, std::span<float> v) {
      ZT_RETURN_IF_ERROR(denoiser_.take(s_.network_at(told)));
      ZT_RETURN_IF_ERROR(denoiser_.evaluate(told, x, v, {}));
      if (c_.wants_denoised()) denoised_.assign(v.begin(), v.end());
      return Status();
    };
    return reason(sample_flow(std::get<FlowSampler>(s_.sampler), c_.plan.points, velocity,
                              step_noise(), state_.latents, observer(), c_.plan.next_step,
                              &state_.solver));
  }

  Status diffusion() {
    ZT_ASSIGN_OR_RETURN(const DiffusionSampler sampler, diffusion_sampler());
    const DiffusionModel model = [&](int t, std::span<const float> x, std::span<float> output,
                                     std::span<float> variance) {
      ZT_RETURN_IF_ERROR(denoiser_.evaluate(t, x, output, variance));
      if (!c_.wants_denoised()) return Status();
      denoised_.assign(x.begin(), x.end());
      sampler.predict_start(state_.step, output, denoised_);
      return Status();
    };
    return reason(sample_diffusion(sampler, model, step_noise(), state_.latents, observer(),
                                   c_.plan.next_step));
  }

  RunContext& c_;
  const Denoise& s_;
  const size_t samples_;
  Denoiser denoiser_;
  DenoiseState state_;
  Status stopped_;  // by a hook
  // Of the last evaluation, where a hook wants it: the velocity or, with diffusion, the prediction.
  std::vector<float> denoised_;
};

Status run(const Stage&, RunContext* c) { return Denoising(c).run(); }

}  // namespace

const StageDef kDenoiseStage{check, plan, run};

}  // namespace zoetrope
