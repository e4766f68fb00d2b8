#include "runtime/engine/engine.h"

#include <algorithm>
#include <set>

#include "graph/host.h"
#include "runtime/engine/check.h"
#include "runtime/engine/file_reading.h"
#include "runtime/engine/resume.h"
#include "runtime/engine/stage.h"
#include "runtime/engine/time_windows.h"
#include "runtime/samplers/diffusion.h"
#include "runtime/samplers/flow.h"

namespace zoetrope {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The first job that does not fit where it runs.
const Job* find_too_large(const RequestPlan& plan) {
  const Job* worst = nullptr;
  for (const Job& job : plan.jobs) {
    const int64_t room = plan.room_on(*job.device), needs = job.bytes();
    if (room > 0 && needs > room && (worst == nullptr || needs > worst->bytes())) worst = &job;
  }
  return worst;
}

bool needs_frame(const Recipe& recipe) {
  return std::any_of(recipe.stages.begin(), recipe.stages.end(), [](const Stage& stage) {
    const auto* known = std::get_if<KnownLatents>(&stage);
    return std::holds_alternative<ImageFeatures>(stage) || (known != nullptr && known->required);
  });
}

// Steps of the schedule that are left where a picture is given to start from.
Result<int> first_step(const Denoise& denoise, const Request& request) {
  if (request.start.frames == 0) return 0;
  const int left = std::min(static_cast<int>(denoise.steps * request.strength), denoise.steps);
  if (left >= 1) return denoise.steps - left;
  return error(Code::kInvalidArgument, "strength ", request.strength, " of ", denoise.steps,
               " steps leaves none; take more of either");
}

// Which network evaluates how often from a step on.
std::vector<NetworkPlan> plan_networks(const DenoisePlan& plan, int from) {
  const Denoise& d = plan.denoise;
  std::vector<NetworkPlan> networks(d.networks());
  for (size_t i = 0; i < networks.size(); ++i) {
    networks[i].guidance = d.guidance_of(i);
    for (const Denoise::Stream& stream : d.streams)
      networks[i].stream_guidance.push_back(d.guidance_of(i, stream));
    for (size_t k = 0; k < d.weaker.size(); ++k)
      if (std::any_of(d.weaker[k].scales.begin(), d.weaker[k].scales.end(),
                      [](double scale) { return scale != 0; }))
        networks[i].weaker.push_back(k);
  }
  if (const auto* flow = std::get_if<FlowSampler>(&d.sampler))
    for (const double told : flow_evaluations(*flow, plan.points, from))
      ++networks[d.network_at(told)].evaluations;
  else
    networks[0].evaluations = d.steps - from;
  return networks;
}

// Those of streams that have their own.
Status space_streams(const FlowSampler& flow, DenoisePlan* plan) {
  const auto& streams = plan->denoise.streams;
  if (std::none_of(streams.begin(), streams.end(), [](const auto& s) { return !!s.schedule; }))
    return Status();
  if (flow.solver != FlowSolver::kEuler)
    return error(Code::kInvalidArgument, "the solver ", solver_name(flow.solver),
                 ": this model's streams have times of their own, which steps of euler alone can "
                 "follow");
  const auto stays = [](double a, double b) { return !(b < a); };
  for (const Denoise::Stream& stream : streams) {
    FlowSampler own = flow;
    if (stream.schedule) own.shift = stream.schedule->shift;
    ZT_ASSIGN_OR_RETURN(FlowPoints points, space_flow(own, plan->denoise.steps));
    for (const auto& times : {points.sigmas, plan->points.times})
      if (std::adjacent_find(times.begin(), times.end(), stays) != times.end())
        return error(Code::kInvalidArgument, plan->denoise.steps,
                     " steps stand too near each other for this model; take fewer");
    plan->stream_points.push_back(std::move(points));
  }
  return Status();
}

// The times of the steps.
Status space_steps(const Recipe& recipe, const ClipShape& shape, DenoisePlan* plan) {
  const ClipShape seen = seen_by_call(recipe, shape);
  const int steps = plan->denoise.steps;
  auto* flow = std::get_if<FlowSampler>(&plan->denoise.sampler);
  if (flow == nullptr)
    return DiffusionSampler::create(std::get<DiffusionSpec>(plan->denoise.sampler), steps).status();
  ZT_RETURN_IF_ERROR(fix_shift(flow, reduced_shape(seen, plan->denoise.reduced).latents()));
  ZT_ASSIGN_OR_RETURN(plan->points, space_flow(*flow, steps));
  return space_streams(*flow, plan);
}

// The stages that denoise behind the first one; where latents are decoded as they stand, none of
// their steps is taken.
Status plan_later(const Recipe& recipe, bool decode_only, RequestPlan* plan) {
  for (size_t i = 0; i < recipe.stages.size(); ++i) {
    const auto* stage = std::get_if<Denoise>(&recipe.stages[i]);
    if (stage == nullptr) continue;
    if (stage == recipe.denoise()) {
      plan->stage = i;
      continue;
    }
    DenoisePlan& pass = plan->later.emplace_back();
    pass.stage = i;
    pass.denoise = *stage;
    ZT_RETURN_IF_ERROR(space_steps(recipe, plan->shape, &pass));
    pass.next_step = decode_only ? stage->steps : 0;
    pass.networks = plan_networks(pass, pass.next_step);
  }
  return Status();
}

bool is_guided(const DenoisePlan& plan) {
  return std::any_of(plan.networks.begin(), plan.networks.end(),
                     [](const auto& n) { return n.evaluations > 0 && n.guided(); });
}

// Shows the hooks what the stage added; `shown` holds the names of what earlier ones had.
Status show_made(const Stage& stage, const RunContext& context, std::set<std::string>* shown) {
  if (!context.observed()) return Status();
  const bool denoises = std::holds_alternative<Denoise>(stage);
  const bool more =
      denoises && !context.plan.later.empty() && context.stage != context.plan.later.back().stage;
  // Latents are other ones each time.
  if (denoises || std::holds_alternative<ResampleLatents>(stage))
    for (const auto& [name, values] : context.latents) shown->erase(name);
  for (const auto& [name, value] : context.values)
    if (shown->insert(name).second)
      ZT_RETURN_IF_ERROR(
          context.observe({stage_kind(stage), name, value.type, value.bytes.data()}));
  for (const auto* latents : {&context.start, &context.latents})
    for (const auto& [name, values] : *latents) {
      // A decoder takes its latents away.
      const std::string label = latents == &context.start ? name + " to start from"
                                : more                    ? name + " to refine"
                                                          : name;
      if (values.empty() || !shown->insert(label).second) continue;
      const TensorType type{DType::kF32, {static_cast<int64_t>(values.size())}};
      ZT_RETURN_IF_ERROR(context.observe({stage_kind(stage), label, type, values.data()}));
    }
  return Status();
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const std::string& path, EngineOptions options) {
  ZT_ASSIGN_OR_RETURN(Model model, load_model(path));
  auto engine = create(std::move(model), std::move(options));
  if (!engine.ok() && engine.status().code() != Code::kInvalidArgument)  // not the placement's
    return engine.status().with_context(path);
  return engine;
}

Result<std::unique_ptr<Engine>> Engine::create(Model model, EngineOptions options) {
  ZT_RETURN_IF_ERROR(check_model(model));
  ZT_RETURN_IF_ERROR(check_placement(options.placement, model.recipe));
  return std::unique_ptr<Engine>(new Engine(std::move(model), std::move(options)));
}

Result<RequestPlan> Engine::plan_once(const Request& request, const PassObserver& observer) {
  const Recipe& recipe = model_.recipe;
  ZT_RETURN_IF_ERROR(check_request(recipe, request));
  RequestPlan plan;
  plan.keeps_sessions = options_.keep_sessions;
  plan.memory_budget = request.memory_budget;
  plan.clip = recipe.clip;
  plan.clip.fps = fps_of(recipe, request.clip);
  ZT_ASSIGN_OR_RETURN(plan.shape, resolve_clip_shape(recipe, request.clip));
  ZT_ASSIGN_OR_RETURN(plan.denoise, apply_request(*recipe.denoise(), request));
  plan.shape.key_frames = count_key_frames(recipe, request.known);
  plan.shape.end_pictures = count_end_pictures(recipe, request.known);
  ZT_RETURN_IF_ERROR(space_steps(recipe, plan.shape, &plan));
  ZT_ASSIGN_OR_RETURN(plan.first_step, first_step(plan.denoise, request));
  plan.samples = std::max<int64_t>(1, static_cast<int64_t>(request.classes.size()));
  plan.networks = plan_networks(plan, plan.first_step);
  plan.next_step = plan.first_step;
  const ResumePoint* resume = request.resume.get();
  ZT_RETURN_IF_ERROR(plan_later(recipe, resume != nullptr && resume->decode_only, &plan));
  plan.rows = is_guided(plan) || std::any_of(plan.later.begin(), plan.later.end(), is_guided)
                  ? 2 * plan.samples
                  : plan.samples;
  if (resume != nullptr) {
    ZT_RETURN_IF_ERROR(check_resume(recipe, request, plan));
    plan.next_step = resume->decode_only ? plan.denoise.steps : resume->state.step;
    plan.networks = plan_networks(plan, plan.next_step);  // rows stay those of the whole run
  }
  plan.given.assign(recipe.stages.size(), false);
  PlanContext context(model_, request, options_.placement, devices_, observer, &plan);
  bool denoised = false;
  for (; context.stage < recipe.stages.size(); ++context.stage) {
    const Stage& stage = recipe.stages[context.stage];
    const auto before = context.values;
    ZT_RETURN_IF_ERROR(stage_def(stage).plan(stage, &context));
    denoised = denoised || std::holds_alternative<Denoise>(stage);
    if (resume == nullptr || denoised) continue;
    // Where latents alone are decoded, nobody reads what comes before them.
    const bool needless = resume->decode_only && resume->values.empty();
    ZT_ASSIGN_OR_RETURN(const bool given,
                        needless ? Result<bool>(true) : is_given(*resume, before, context.values));
    plan.given[context.stage] = given;
    if (!given) continue;
    std::erase_if(plan.jobs, [&](const Job& j) { return j.stage == context.stage; });
    if (needless) continue;
    for (const auto& [name, type] : context.values)
      if (!before.contains(name)) plan.given_values.insert(name);
  }
  return plan;
}

Result<RequestPlan> Engine::plan(const Request& request, const PassObserver& observer,
                                 std::stop_token stop) {
  ZT_ASSIGN_OR_RETURN(RequestPlan plan, plan_once(request, observer));
  const Job* job = find_too_large(plan);
  if (job == nullptr) {
    for (Job& each : plan.jobs) each.kept = each.device->keeps(*each.plan, request.weights.get());
    if (model_.file != nullptr) plan_reading(*model_.file, kLeastRead, usable_memory(), &plan);
    return plan;
  }
  ZT_ASSIGN_OR_RETURN(const std::string nearest, nearest_fit(request, plan.shape, stop));
  return error(Code::kResourceExhausted, "'", job->name, "' needs ",
               format_bytes(static_cast<double>(job->bytes())), " but ",
               request.memory_budget > 0 ? "the budget is " : "the device has ",
               format_bytes(static_cast<double>(plan.room_on(*job->device))), nearest);
}

// The longest clip of the same size, else the largest part of the size with the fewest frames, that
// fits. Memory grows with both, so few plans are tried.
Result<std::string> Engine::nearest_fit(const Request& request, const ClipShape& asked,
                                        const std::stop_token& stop) {
  Request smaller = request;
  smaller.known = {};
  smaller.known.references = request.known.references;
  if (asked.end_pictures > 0) {
    smaller.known.first.frames = request.known.first.frames;
    smaller.known.last.frames = request.known.last.frames;
  }
  smaller.resume = nullptr;
  if (needs_frame(model_.recipe)) {
    smaller.known.first.frames = request.known.has_first() ? 1 : 0;
    smaller.known.last.frames = request.known.has_last() ? 1 : 0;
  }
  smaller.start = {};
  smaller.clip = request.clip;
  smaller.clip.width = asked.width;
  smaller.clip.height = asked.height;
  smaller.clip.frames = asked.frames;
  smaller.clip.seconds = 0;
  const ClipSpec& clip = model_.recipe.clip;
  ZT_ASSIGN_OR_RETURN(const Range lengths, frames_range(model_.recipe, request.clip));
  const auto fits = [&]() -> Result<bool> {
    if (stop.stop_requested()) return error(Code::kCancelled, "asked to stop");
    if (request.known.source.frames > 0) smaller.known.source.frames = smaller.clip.frames;
    const auto plan = plan_once(smaller, {});
    return plan.ok() && find_too_large(*plan) == nullptr;
  };
  const auto found = [&] {
    if (model_.recipe.sound_alone())
      return str("; ",
                 static_cast<double>(smaller.clip.frames) / fps_of(model_.recipe, smaller.clip),
                 " s would fit");
    return asked.frames > 1 ? str("; ", smaller.clip.frames,
                                  smaller.clip.frames == 1 ? " frame at " : " frames at ",
                                  smaller.clip.width, "x", smaller.clip.height, " would fit")
                            : str("; ", smaller.clip.width, "x", smaller.clip.height, " would fit");
  };
  const int64_t fewest = nearest_in_range(lengths, 1);
  if (asked.frames > fewest) {
    const LatentSpec* picture = model_.recipe.picture();
    // Whole latents: less would not shrink anything.
    const int64_t unit = std::max<int64_t>(picture ? picture->later_frames : 1, 1);
    int64_t low = 0, high = (asked.frames - fewest + unit - 1) / unit;  // in units above the fewest
    const auto frames = [&](int64_t units) {
      return nearest_in_range(lengths, fewest + units * unit);
    };
    smaller.clip.frames = fewest;
    ZT_ASSIGN_OR_RETURN(const bool any, fits());
    while (any && high - low > 1) {
      const int64_t middle = (low + high) / 2;
      smaller.clip.frames = frames(middle);
      ZT_ASSIGN_OR_RETURN(const bool good, fits());
      (good ? low : high) = middle;
    }
    smaller.clip.frames = frames(low);
    if (any) return found();
  }
  for (int64_t scale = model_.recipe.sound_alone() ? 0 : 3; scale >= 1; --scale) {
    smaller.clip.width = nearest_in_range(clip.width, asked.width * scale / 4);
    smaller.clip.height = nearest_in_range(clip.height, asked.height * scale / 4);
    ZT_ASSIGN_OR_RETURN(const bool good, fits());
    if (good) return found();
  }
  return std::string(model_.recipe.sound_alone() ? "; no length of this model's sound fits"
                                                 : "; no size of this model fits");
}

Result<RunStats> Engine::run(const Request& request, ClipSink& sink, const RunHooks& hooks) {
  Turns::Turn turn(turns_);
  if (!turn.wait(hooks.stop)) return error(Code::kCancelled, "asked to stop");
  const auto start = std::chrono::steady_clock::now();
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, this->plan(request, {}, hooks.stop));
  RunContext context(model_, request, plan, sink, hooks);
  context.keep_sessions = options_.keep_sessions;
  context.stats.load_seconds = seconds_since(start);
  context.stats.planned_peak_bytes = plan.peak_bytes();
  for (const Job& job : plan.jobs) job.device->foresee(*job.plan);
  for (const std::string& name : plan.given_values)
    context.values[name] = request.resume->values.at(name);
  Status ran;
  std::set<std::string> shown = plan.given_values;  // to whoever saw the run begin
  for (; ran.ok() && context.stage < model_.recipe.stages.size(); ++context.stage) {
    if (plan.given[context.stage]) continue;
    const Stage& stage = model_.recipe.stages[context.stage];
    const auto began = std::chrono::steady_clock::now();
    ran = stage_def(stage).run(stage, &context);
    if (ran.ok()) ran = show_made(stage, context, &shown);
    if (stage_kind(stage).starts_with("decode"))
      context.stats.decode_seconds += seconds_since(began);
  }
  if (!options_.keep_sessions) release();
  ZT_RETURN_IF_ERROR(ran);
  context.stats.total_seconds = seconds_since(start);
  return context.stats;
}

void Engine::release() { devices_.release(); }

int64_t Engine::sessions_made() const {
  int64_t total = 0;
  for (const EngineDevice* device : devices_.opened()) total += device->sessions_made();
  return total;
}

int64_t Engine::held_bytes() {
  int64_t total = 0;
  for (EngineDevice* device : devices_.opened()) total += device->held_bytes();
  return total;
}

}  // namespace zoetrope
