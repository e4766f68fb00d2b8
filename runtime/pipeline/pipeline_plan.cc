#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/pipeline/generate.h"
#include "runtime/pipeline/tokenizer.h"
#include "runtime/samplers/flow.h"
#include "runtime/samplers/schedule.h"

namespace zoetrope {
namespace {

Result<FlatRecipe> apply_options(FlatRecipe recipe, const GenerateOptions& options) {
  if (options.steps > 0) recipe.steps = options.steps;
  if (options.guidance >= 0) recipe.guidance = options.guidance;
  if (!options.solver.empty()) {
    ZT_ASSIGN_OR_RETURN(recipe.sampler.solver, parse_flow_solver(options.solver));
  }
  if (!options.schedule.empty()) {
    ZT_ASSIGN_OR_RETURN(recipe.sampler.schedule, parse_flow_schedule(options.schedule));
  }
  if (options.shift > 0) recipe.sampler.shift = options.shift;
  if (options.decode_tile == kWholeClip) {
    recipe.video.tile_length = recipe.audio.tile_length = 0;
  } else if (options.decode_tile != kAutomaticTile) {
    if (options.decode_tile < 1)
      return error(Code::kInvalidArgument, "a decoder tile of ", options.decode_tile, " latents");
    recipe.video = with_tile_length(recipe.video, options.decode_tile);
  }
  return recipe;
}

// One phase: which component, how often, bound to what.
struct Request {
  std::string phase, component;
  Bindings bindings;
  double calls = 1;
  TilePlan tiles = {};
};

Request video_decoder(const PipelinePlan& plan) {
  const ClipShape& s = plan.shape;
  TilePlan tiles = plan_tiles(s.latent_frames, plan.recipe.video);
  return {"decode video",
          "tae_decoder",
          {{"batch", 1},
           {"frames", tiles.length},
           {"height", s.latent_height},
           {"width", s.latent_width}},
          static_cast<double>(tiles.tiles.size()),
          tiles};
}

Request audio_decoder(const PipelinePlan& plan) {
  TilePlan tiles = plan_tiles(plan.shape.audio_latents, plan.recipe.audio);
  return {"decode audio",
          "codec_decoder",
          {{"batch", 1}, {"audio_length", tiles.length}},
          static_cast<double>(tiles.tiles.size()),
          tiles};
}

Result<int64_t> text_length(const FlatRecipe& recipe, const GenerateOptions& options) {
  ZT_ASSIGN_OR_RETURN(const Tokens prompt, tokenize_bytes(options.prompt, recipe.max_text));
  auto negative = tokenize_bytes(options.negative, recipe.max_text);
  if (!negative.ok()) return negative.status().with_context("negative prompt");
  return static_cast<int64_t>(std::max(prompt.ids.size(), negative->ids.size()));
}

std::vector<Request> requests_for(const PipelinePlan& plan, const GenerateOptions& options) {
  const ClipShape& s = plan.shape;
  const KnownMedia& known = options.known;
  std::vector<Request> requests;
  requests.push_back(
      {"text", "text_encoder", {{"batch", 2}, {"text_length", plan.text_length}}, 1});
  const auto encode_frames = [&](int64_t frames) {
    requests.push_back(
        {"encode video",
         "tae_encoder",
         {{"batch", 1}, {"frames", frames}, {"height", s.height}, {"width", s.width}},
         1});
  };
  // Equal sizes share a session, so each size appears once.
  std::vector<int64_t> sizes;
  for (const KnownFrames* k :
       {&known.first, &known.last, &known.before, &known.after, &known.video})
    if (k->frames > 0 && std::find(sizes.begin(), sizes.end(), k->frames) == sizes.end())
      sizes.push_back(k->frames);
  for (int64_t frames : sizes) encode_frames(frames);
  if (known.has_sound())
    requests.push_back(
        {"encode audio", "codec_encoder", {{"batch", 1}, {"audio_length", s.audio_latents}}, 1});
  const int evaluations = evaluations_per_step(plan.recipe.sampler.solver);
  const bool guided = plan.recipe.guidance != 1.0;
  const double passes = guided && plan.batch == 1 ? 2 : 1;
  requests.push_back({"denoise",
                      "dit",
                      {{"batch", plan.batch},
                       {"frames", s.latent_frames},
                       {"height", s.latent_height},
                       {"width", s.latent_width},
                       {"audio_length", s.audio_latents},
                       {"text_length", plan.text_length}},
                      static_cast<double>(plan.recipe.steps) * evaluations * passes});
  if (s.audio_latents > 0) requests.push_back(audio_decoder(plan));
  requests.push_back(video_decoder(plan));
  return requests;
}

Result<PipelinePlan::Phase> plan_phase(const Model& model, const GenerateOptions& options,
                                       Device& device, const CompileOptions& compile,
                                       const Request& request) {
  const Graph* graph = model.component(request.component);
  if (graph == nullptr)
    return error(Code::kUnsupported, "model '", model.name, "' has no component ",
                 request.component, ", which '", request.phase, "' needs");
  CompileOptions component_options = compile;
  component_options.bindings = request.bindings;
  component_options.compute = options.compute;
  component_options.fuse = compile.fuse && options.fuse;
  auto compiled = compile_component(*graph, *model.weights, device, component_options);
  if (!compiled.ok()) return compiled.status().with_context(str("component ", request.component));
  return PipelinePlan::Phase{request.phase, request.component, std::move(*compiled), request.calls,
                             request.tiles};
}

// Shorter tiles for decoders that do not fit, as long as that helps.
Status shrink_tiles(const Model& model, const GenerateOptions& options, Device& device,
                    const CompileOptions& compile, int64_t budget, PipelinePlan* plan) {
  for (PipelinePlan::Phase& phase : plan->phases) {
    if (phase.tiles.tiles.empty()) continue;
    const bool video = phase.component == "tae_decoder";
    FlatLatents& spec = video ? plan->recipe.video : plan->recipe.audio;
    while (phase.plan.memory.total_bytes() > budget && phase.tiles.length > 1) {
      // Picture tiles are few latents, sound tiles many.
      const int64_t shorter = video ? phase.tiles.length - 1 : phase.tiles.length / 2;
      spec = with_tile_length(spec, shorter);
      ZT_ASSIGN_OR_RETURN(phase, plan_phase(model, options, device, compile,
                                            video ? video_decoder(*plan) : audio_decoder(*plan)));
    }
  }
  return Status();
}

Result<PipelinePlan> plan_at(const Model& model, const GenerateOptions& options, Device& device,
                             const CompileOptions& compile, int64_t budget) {
  PipelinePlan plan;
  ZT_ASSIGN_OR_RETURN(plan.recipe, apply_options(model.recipe, options));
  ZT_ASSIGN_OR_RETURN(plan.shape, resolve_clip_shape(plan.recipe, options.clip));
  ZT_ASSIGN_OR_RETURN(plan.times, make_schedule(plan.recipe.sampler, plan.recipe.steps));
  ZT_ASSIGN_OR_RETURN(plan.text_length, text_length(plan.recipe, options));
  const bool guided = plan.recipe.guidance != 1.0;
  plan.batch = guided && options.guidance_mode == GuidanceMode::kBatched ? 2 : 1;
  for (const Request& request : requests_for(plan, options)) {
    ZT_ASSIGN_OR_RETURN(plan.phases.emplace_back(),
                        plan_phase(model, options, device, compile, request));
  }
  if (budget > 0 && options.decode_tile == kAutomaticTile)
    ZT_RETURN_IF_ERROR(shrink_tiles(model, options, device, compile, budget, &plan));
  return plan;
}

const PipelinePlan::Phase& largest_phase(const PipelinePlan& plan) {
  return *std::max_element(plan.phases.begin(), plan.phases.end(),
                           [](const auto& a, const auto& b) {
                             return a.plan.memory.total_bytes() < b.plan.memory.total_bytes();
                           });
}

// The longest clip of the same size, else the largest size of one frame's multiple, that fits.
std::string nearest_fit(const Model& model, const GenerateOptions& options, Device& device,
                        const CompileOptions& compile, const ClipShape& asked, int64_t budget) {
  GenerateOptions smaller = options;
  smaller.known = {};
  smaller.clip = {asked.width, asked.height, asked.frames, 0};
  const FlatRecipe& r = model.recipe;
  const auto fits = [&] {
    auto plan = plan_at(model, smaller, device, compile, budget);
    return plan.ok() && plan->peak_bytes() <= budget;
  };
  const int64_t step = std::max<int64_t>(r.frames.multiple, r.frames_per_latent);
  for (int64_t frames = (asked.frames - 1) / step * step; frames >= r.frames.min && frames > 0;
       frames -= step) {
    smaller.clip.frames = frames;
    if (fits())
      return str("; ", frames, " frames at ", asked.width, "x", asked.height, " would fit");
  }
  smaller.clip.frames = std::max<int64_t>(r.frames.min, 1);
  for (int64_t scale = 3; scale >= 1; --scale) {
    const auto scaled = [&](int64_t value, const Range& range) {
      return std::max(range.min, value * scale / 4 / range.multiple * range.multiple);
    };
    smaller.clip.width = scaled(asked.width, r.width);
    smaller.clip.height = scaled(asked.height, r.height);
    if (fits())
      return str("; ", smaller.clip.frames, " frames at ", smaller.clip.width, "x",
                 smaller.clip.height, " would fit");
  }
  return "; no size of this model fits";
}

std::string tiles_to_text(const TilePlan& plan) {
  if (plan.tiles.size() < 2) return "";
  return str(", ", plan.tiles.size(), " tiles of ", plan.length, " latents, ",
             plan.exact       ? std::string("cut exactly")
             : plan.blend > 0 ? str("blended over ", plan.blend)
                              : std::string("cut"));
}

nlohmann::json tiles_to_json(const TilePlan& plan) {
  nlohmann::json tiles = nlohmann::json::array();
  for (const Tile& t : plan.tiles)
    tiles.push_back({{"start", t.start}, {"from", t.from}, {"to", t.to}});
  return {{"length", plan.length},
          {"blend", plan.blend},
          {"exact", plan.exact},
          {"tiles", std::move(tiles)}};
}

}  // namespace

int64_t PipelinePlan::peak_bytes() const { return largest_phase(*this).plan.memory.total_bytes(); }

double PipelinePlan::estimated_seconds() const {
  double seconds = 0;
  for (const Phase& phase : phases) seconds += phase.calls * phase.plan.estimated_step_seconds;
  return seconds;
}

Result<PipelinePlan> plan_pipeline(const Model& model, const GenerateOptions& options,
                                   Device& device, const CompileOptions& compile) {
  const int64_t budget =
      options.memory_budget > 0 ? options.memory_budget : device.info().memory_bytes;
  ZT_ASSIGN_OR_RETURN(PipelinePlan plan, plan_at(model, options, device, compile, budget));
  if (budget > 0 && plan.peak_bytes() > budget) {
    const PipelinePlan::Phase& phase = largest_phase(plan);
    return error(Code::kResourceExhausted, "'", phase.name, "' needs ",
                 format_bytes(static_cast<double>(plan.peak_bytes())), " but ",
                 options.memory_budget > 0 ? "the budget is " : "the device has ",
                 format_bytes(static_cast<double>(budget)),
                 nearest_fit(model, options, device, compile, plan.shape, budget));
  }
  return plan;
}

std::string pipeline_plan_to_text(const PipelinePlan& plan, bool calls) {
  const ClipShape& s = plan.shape;
  std::string text = str("clip ", s.width, "x", s.height, ", ", s.frames, " frames at ",
                         plan.recipe.fps, " fps (", s.seconds(plan.recipe), " s)");
  if (s.samples > 0) text += str(", ", s.samples, " samples at ", plan.recipe.sample_rate, " Hz");
  text += str("\nlatents ", s.latent_frames, "x", s.latent_height, "x", s.latent_width, "x",
              plan.recipe.video.channels);
  if (s.audio_latents > 0) text += str(" and ", s.audio_latents, "x", plan.recipe.audio.channels);
  text += str("; ", plan.recipe.steps, " steps of ", solver_name(plan.recipe.sampler.solver),
              ", schedule ", schedule_name(plan.recipe.sampler.schedule), ", guidance ",
              plan.recipe.guidance, "\n\n");
  for (const PipelinePlan::Phase& phase : plan.phases) {
    text += str(phase.name, " (", phase.calls, phase.calls == 1 ? " call" : " calls", ")",
                tiles_to_text(phase.tiles), "\n");
    text += plan_to_text(phase.plan, calls);
  }
  text += str("\npeak memory ", format_bytes(static_cast<double>(plan.peak_bytes())), ", in '",
              largest_phase(plan).name, "'");
  if (plan.estimated_seconds() > 0)
    text += str("; estimated time ", format_seconds(plan.estimated_seconds()));
  return text + "\n";
}

std::string pipeline_plan_to_json(const PipelinePlan& plan, bool calls) {
  using nlohmann::json;
  json phases = json::array();
  for (const PipelinePlan::Phase& phase : plan.phases) {
    json entry = json::parse(plan_to_json(phase.plan, calls));
    entry["phase"] = phase.name;
    entry["runs"] = phase.calls;
    if (!phase.tiles.tiles.empty()) entry["tiles"] = tiles_to_json(phase.tiles);
    phases.push_back(std::move(entry));
  }
  const ClipShape& s = plan.shape;
  const json out = {{"width", s.width},
                    {"height", s.height},
                    {"frames", s.frames},
                    {"samples", s.samples},
                    {"latents", {s.latent_frames, s.latent_height, s.latent_width}},
                    {"audio_latents", s.audio_latents},
                    {"steps", plan.recipe.steps},
                    {"guidance", plan.recipe.guidance},
                    {"phases", phases},
                    {"peak_bytes", plan.peak_bytes()},
                    {"estimated_seconds", plan.estimated_seconds()}};
  return out.dump(2);
}

}  // namespace zoetrope
