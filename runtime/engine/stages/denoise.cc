// From noise, or from a picture and noise, to latents: flow matching or discrete-time diffusion,
// with guidance. One network call holds what is wanted and what is not, or each has its own, one
// after the other or on two devices at once.
#include <algorithm>
#include <cmath>

#include "runtime/engine/stages/denoiser.h"
#include "runtime/samplers/diffusion.h"
#include "runtime/samplers/flow.h"

namespace zoetrope {
namespace {

// Where key frames stand behind the clip's latents, or pictures beside them, another component
// takes them.
const std::string& network_of(const Denoise& s, const ClipShape& shape, size_t network) {
  if (shape.end_pictures > 0 && s.ended) return s.ended->component;
  return shape.key_frames > 0 && s.keyed ? s.keyed->component : s.network(network);
}

// Of one call, where it sees the clip in windows.
std::vector<NamedType> inputs_of(const Denoise& s, const Recipe& recipe, const ClipShape& clip,
                                 const std::map<std::string, TensorType>& values, int64_t rows) {
  const ClipShape shape = seen_by_call(recipe, clip);
  std::vector<NamedType> inputs{{s.time, {DType::kF32, {rows}}}};
  for (const Denoise::Stream& stream : s.streams)
    if (stream.schedule) inputs.push_back({stream.schedule->time, {DType::kF32, {rows}}});
  for (const Denoise::Stream& stream : s.streams)
    inputs.push_back(
        {stream.input,
         {DType::kF32, denoised_shape(s, *recipe.find_latents(stream.latents), shape, rows)}});
  for (const Denoise::Condition& condition : conditions_of(s, shape)) {
    TensorType type = values.at(condition.value);
    type.shape[0] = rows;
    const LatentSpec* spec = latents_of_value(recipe, condition.value);
    if (sees_windows(clip) && spec != nullptr)
      type.shape[1] = denoised_shape(s, *spec, shape, 1)[1];
    inputs.push_back({condition.input, type});
  }
  for (const Denoise::Weaker& weaker : s.weaker)
    inputs.push_back({weaker.input, {DType::kF32, {rows}}});
  return inputs;
}

// Outputs have the latents' channels or, with diffusion, twice as many.
std::vector<NamedType> outputs_of(const Denoise& s, const Recipe& recipe, const ClipShape& clip,
                                  int64_t rows, bool twice) {
  const ClipShape shape = seen_by_call(recipe, clip);
  std::vector<NamedType> outputs;
  for (const Denoise::Stream& stream : s.streams) {
    Shape out = denoised_shape(s, *recipe.find_latents(stream.latents), shape, rows);
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
    ZT_RETURN_IF_ERROR(fix_shift(&flow, reduced_shape(c->shape, s.reduced).latents()));
    ZT_RETURN_IF_ERROR(space_flow(flow, s.steps).status());
  }
  Status status;
  for (size_t network = 0; network < s.networks(); ++network)
    for (int64_t rows : {1, 2}) {
      const std::string& component = network_of(s, c->shape, network);
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
  const DenoisePlan& pass = c.plan.pass(c.stage);
  job.task = task_of(c.plan, pass);
  job.name = network == 0 ? job.task : str(job.task, " below ", s.experts[network - 1].below);
  job.component = network_of(s, c.plan.shape, network);
  job.key = denoise_key(network, 0);
  job.inputs = inputs_of(s, c.model.recipe, c.plan.shape, c.values, rows);
  job.outputs = outputs_of(s, c.model.recipe, c.plan.shape, rows, false);
  for (NamedType& out : job.outputs) out.type.shape[-1] = kAnyExtent;  // see check_channels
  job.time_calls = static_cast<double>(pass.networks[network].evaluations);
  job.calls = job.time_calls * static_cast<double>(count_windows(c.plan.shape));
  if (sees_windows(c.plan.shape))
    for (const Denoise::Condition& condition : s.conditions)
      if (latents_of_value(c.model.recipe, condition.value) != nullptr)
        job.changing.insert(condition.input);
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
  NetworkPlan& n = c->plan.pass(c->stage).networks[network];
  n.rows_a_call = c->plan.samples;
  n.halves = true;
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
  NetworkPlan& n = c->plan.pass(c->stage).networks[network];
  const std::string& component = network_of(s, c->plan.shape, network);
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
    spec.time_calls *= static_cast<double>(n.blocks());
    spec.clip_calls = spec.time_calls;
  }
  ZT_ASSIGN_OR_RETURN(const Job* whole, c->add(spec));
  ZT_RETURN_IF_ERROR(check_channels(s, c->model.recipe, *whole));
  return n.blocks() == 2 && n.guided() && !sequential ? split_automatically(s, c, network)
                                                      : Status();
}

// A call must stand for itself, and the clip for all that is denoised.
Status check_windows(const DenoisePlan& pass, const PlanContext& c) {
  const ClipShape& clip = c.plan.shape;
  if (!sees_windows(clip)) return Status();
  const char* what = clip.loop ? "a loop" : "a clip in windows";
  if (clip.key_frames > 0)
    return error(Code::kUnsupported, what, " cannot be given frames at chosen times");
  if (clip.end_pictures > 0)
    return error(Code::kUnsupported, what, " cannot be given pictures at its ends");
  for (size_t i = 0; i < pass.denoise.networks(); ++i)
    if (const Graph* graph = c.model.component(pass.denoise.network(i)); !graph->states.empty())
      return error(Code::kUnsupported, what, ": '", graph->name,
                   "' carries a state of its own from step to step, which is of a whole clip");
  return Status();
}

Status plan(const Stage&, PlanContext* c) {
  const DenoisePlan& pass = c->plan.pass(c->stage);
  ZT_RETURN_IF_ERROR(check_windows(pass, *c));
  for (size_t network = 0; network < pass.denoise.networks(); ++network)
    if (pass.networks[network].evaluations > 0)
      ZT_RETURN_IF_ERROR(plan_network(pass.denoise, c, network));
  return Status();
}

Status run(const Stage&, RunContext* c) {
  const ClipShape& clip = c->plan.shape;
  if (c->request.clip.window > 0 && clip.window == 0 && &c->plan.pass(c->stage) == &c->plan)
    c->notice(str("a window of ", c->request.clip.window, " frames has no effect: the clip has ",
                  clip.frames, ", which the network sees at once"));
  return run_denoising(c);
}

}  // namespace

const StageDef kDenoiseStage{check, plan, run};

}  // namespace zoetrope
