#include "runtime/engine/check.h"

#include <algorithm>
#include <cmath>

#include "runtime/engine/find_stage.h"
#include "runtime/engine/stage.h"

namespace zoetrope {
namespace {

bool takes_known(const Recipe& recipe, const LatentSpec* spec) {
  return spec != nullptr &&
         std::any_of(recipe.stages.begin(), recipe.stages.end(), [&](const Stage& stage) {
           const auto* known = std::get_if<KnownLatents>(&stage);
           return known != nullptr && known->latents == spec->name;
         });
}

bool takes_keys(const Recipe& recipe) {
  return std::any_of(recipe.stages.begin(), recipe.stages.end(), [](const Stage& stage) {
    const auto* known = std::get_if<KnownLatents>(&stage);
    return known != nullptr && !known->gives_key_times.empty();
  });
}

bool takes_ends(const Recipe& recipe) { return find_stage<EndPictures>(recipe) != nullptr; }

// With `pictures` given, as key frames or at the ends.
Status check_stages(const Model& model, const ClipRequest& size,
                    std::map<std::string, Bindings>* bindings = nullptr, int64_t pictures = 0) {
  auto shape = resolve_clip_shape(model.recipe, size);
  if (!shape.ok()) return Status(Code::kDataLoss, "recipe: " + shape.status().message());
  if (takes_keys(model.recipe)) shape->key_frames = pictures;
  if (takes_ends(model.recipe)) shape->end_pictures = pictures;
  CheckContext context{model, {}, *shape, bindings};
  for (size_t i = 0; i < model.recipe.stages.size(); ++i) {
    const Stage& stage = model.recipe.stages[i];
    ZT_RETURN_IF_ERROR(stage_def(stage)
                           .check(stage, &context)
                           .with_context(str("stage ", i, ", ", stage_kind(stage))));
  }
  return Status();
}

Status only_of(bool given, const char* what, const char* method) {
  return given ? error(Code::kInvalidArgument, what, " is a setting of ", method,
                       "; this model is not of that kind")
               : Status();
}

}  // namespace

Status check_model(const Model& model) {
  const Recipe& recipe = model.recipe;
  if (recipe.stages.empty()) return Status();
  ZT_RETURN_IF_ERROR(check_stages(model, {}));
  ClipRequest least;
  least.width = nearest_in_range(recipe.clip.width, 1);
  least.height = nearest_in_range(recipe.clip.height, 1);
  if (recipe.picture() == nullptr || recipe.picture()->media != Modality::kImage)
    least.frames = nearest_in_range(recipe.clip.frames, 1);
  if (takes_keys(recipe) || takes_ends(recipe))
    ZT_RETURN_IF_ERROR(check_stages(model, {}, nullptr, 1));
  return check_stages(model, least);
}

Status check_model(const ModelInfo& info) {
  ZT_ASSIGN_OR_RETURN(const Model model, make_model(info, nullptr, info.name));
  return check_model(model);
}

int64_t count_key_frames(const Recipe& recipe, const KnownMedia& known) {
  if (!takes_keys(recipe)) return 0;
  return static_cast<int64_t>(known.keys.size()) + (known.last.frames > 0 ? 1 : 0);
}

int64_t count_end_pictures(const Recipe& recipe, const KnownMedia& known) {
  if (!takes_ends(recipe)) return 0;
  return known.first.frames + known.last.frames;
}

Result<std::map<std::string, Bindings>> preferred_bindings(const Model& model) {
  std::map<std::string, Bindings> bindings;
  ZT_RETURN_IF_ERROR(check_stages(model, {}, &bindings));
  if (takes_keys(model.recipe) || takes_ends(model.recipe))
    ZT_RETURN_IF_ERROR(check_stages(model, {}, &bindings, 1));
  return bindings;
}

bool hears_frames(const Recipe& recipe) { return find_stage<FrameFeatures>(recipe) != nullptr; }

std::vector<GivenTask> given_tasks(const Recipe& recipe) {
  std::vector<GivenTask> all;
  const auto add = [&](bool takes, std::string_view name, std::string_view what) {
    if (takes) all.push_back({name, what});
  };
  for (const Stage& stage : recipe.stages) {
    const auto* s = std::get_if<KnownLatents>(&stage);
    const LatentSpec* spec = s != nullptr ? recipe.find_latents(s->latents) : nullptr;
    if (s == nullptr || s->reduced.any()) continue;  // the same again
    if (spec->media == Modality::kSound) {
      add(recipe.sound_alone(), "extend_sound", "sound to continue (--extend)");
      add(recipe.sound_alone(), "lead_to_sound", "sound to lead to (--lead-to)");
      add(!recipe.sound_alone(), "audio", "sound (--audio)");
      continue;
    }
    // Latents are encoded from the clip's beginning, or all of them as they stand.
    const bool grey = s->fill == KnownLatents::Fill::kGrey,
               even = spec->first_frames == spec->later_frames;
    const bool keys = !s->gives_key_times.empty();
    add(grey || spec->first_frames == 1 || s->mask_first_frame, "image", "a first frame (--image)");
    add(grey || keys || s->mask_last_frame || (even && spec->later_frames == 1), "last_image",
        "a last frame (--last-image)");
    add(keys, "keyframe", "frames at any time (--keyframe)");
    add(true, "extend", "a clip to continue (--extend)");
    add(grey || even, "lead_to", "a clip to lead to (--lead-to)");
    add(recipe.sound() != nullptr, "video", "a clip that wants sound (--video)");
  }
  add(takes_ends(recipe), "image", "a first frame (--image)");
  add(takes_ends(recipe), "last_image", "a last frame (--last-image)");
  add(hears_frames(recipe), "video", "a clip that wants sound (--video)");
  add(find_stage<StartPicture>(recipe) != nullptr, "start",
      "a picture or clip to start from (--image or --video with --strength)");
  add(find_stage<SourceClip>(recipe) != nullptr, "anew", "a clip to make anew (--video)");
  if (const auto* references = find_stage<ReferenceFeatures>(recipe))
    add(true, "references",
        references->most > 1 ? "pictures to show again (--reference)"
                             : "a picture to show again (--reference)");
  return all;
}

std::string given_media(const Recipe& recipe) {
  std::string all;
  for (const GivenTask& task : given_tasks(recipe)) all += str(all.empty() ? "" : ", ", task.what);
  return all.empty() ? "nothing but words" : all;
}

Status check_request(const Recipe& recipe, const Request& request) {
  const auto refuse = [](const auto&... what) { return error(Code::kInvalidArgument, what...); };
  if (recipe.stages.empty())
    return error(Code::kUnsupported, "this model cannot generate: ",
                 recipe.incomplete.empty() ? "it has components, but no recipe" : recipe.incomplete,
                 "; `zoetrope plan --component` plans and `zoetrope run` runs what it has");
  const auto* labels = find_stage<ClassLabel>(recipe);
  if (!recipe.reads_text() && (!request.prompt.empty() || !request.negative.empty()))
    return refuse("this model reads no text",
                  labels ? "; it makes pictures of classes: name them with --class" : "");
  if (labels == nullptr && !request.classes.empty())
    return refuse("this model knows no classes; describe what you want in words");
  const LatentSpec* picture = recipe.picture();
  if (request.classes.size() > 1 && (picture == nullptr || picture->media != Modality::kImage))
    return refuse("one class makes one clip; ", request.classes.size(), " were named");
  if (request.known.source.frames > 0 && find_stage<SourceClip>(recipe) == nullptr)
    return refuse("this model makes no clip anew; it takes ", given_media(recipe));
  if (!request.known.references.empty() && find_stage<ReferenceFeatures>(recipe) == nullptr)
    return refuse("this model takes no reference pictures; it takes ", given_media(recipe));
  if (request.clip.fps != 0 && request.known.source.frames == 0)
    return refuse("a rate of ", request.clip.fps,
                  " frames a second: only a given clip has one of "
                  "its own");
  if (request.clip.loop && (request.known.has_frames() || request.known.has_sound() ||
                            request.known.source.frames > 0 || request.start.frames > 0))
    return refuse(
        "a loop has no beginning and no end that could be given; without --loop a picture as "
        "--image and as --last-image, or a clip as --extend and as --lead-to, makes one around it");
  const bool looked_at = hears_frames(recipe) && !request.known.has_frames_beside_video();
  const KnownMedia& known = request.known;
  const bool at_ends = takes_ends(recipe) && known.first.frames + known.last.frames > 0;
  if (at_ends && (known.before.frames + known.after.frames + known.video.frames > 0 ||
                  !known.keys.empty() || known.first_strength != 1))
    return refuse("this model takes pictures at the clip's ends alone, and as they are");
  if (known.has_frames() && !takes_known(recipe, picture) && !looked_at && !at_ends)
    return refuse("this model takes no known frames; it takes ", given_media(recipe));
  if (request.known.has_sound() && !takes_known(recipe, recipe.sound()))
    return refuse(recipe.sound() ? "this model takes no known sound" : "this model has no sound",
                  "; it takes ", given_media(recipe));
  if (!request.known.audio.empty() && recipe.sound_alone())
    return refuse("all of the sound is known, and this model makes no picture; it takes ",
                  given_media(recipe));
  if (request.start.frames > 0) {
    if (find_stage<StartPicture>(recipe) == nullptr)
      return refuse("this model does not start from a picture; it takes ", given_media(recipe));
    if (!(request.strength > 0 && request.strength <= 1))
      return refuse("strength ", request.strength, ": expected more than 0, at most 1");
  }
  if (!std::isfinite(request.guidance) || request.guidance > 1000)
    return refuse("guidance ", request.guidance, ": expected 0 to 1000");
  for (const double guidance : request.expert_guidance)
    if (!(guidance >= 0 && guidance <= 1000))
      return refuse("guidance ", guidance, " of an expert: expected 0 to 1000");
  return Status();
}

Result<Denoise> apply_request(const Denoise& recipe, const Request& request) {
  Denoise d = recipe;
  if (request.steps > 0) d.steps = request.steps;
  if (request.guidance >= 0) {
    d.guidance = request.guidance;
    for (Denoise::Expert& expert : d.experts) expert.guidance.reset();
    for (Denoise::Stream& stream : d.streams) stream.guidance.reset();
    if (request.guidance == 1) {  // nothing to move away from
      for (Denoise::Stream& stream : d.streams) stream.rescale = 0;
      for (Denoise::Weaker& weaker : d.weaker)
        std::fill(weaker.scales.begin(), weaker.scales.end(), 0.0);
    }
  }
  if (!request.expert_guidance.empty() && request.expert_guidance.size() != d.experts.size())
    return error(Code::kInvalidArgument, "guidance for ", request.expert_guidance.size(),
                 " experts; this model has ", d.experts.size(),
                 d.experts.empty() ? ": it denoises with one network" : "");
  for (size_t i = 0; i < request.expert_guidance.size(); ++i)
    d.experts[i].guidance = request.expert_guidance[i];
  if (auto* flow = std::get_if<FlowSampler>(&d.sampler)) {
    ZT_RETURN_IF_ERROR(only_of(!request.spacing.empty(), "spacing", "diffusion"));
    ZT_RETURN_IF_ERROR(only_of(request.eta >= 0, "eta", "diffusion"));
    if (!request.solver.empty()) {
      ZT_ASSIGN_OR_RETURN(flow->solver, parse_flow_solver(request.solver));
    }
    if (!request.schedule.empty()) {
      ZT_ASSIGN_OR_RETURN(flow->schedule, parse_flow_schedule(request.schedule));
    }
    if (request.shift > 0) {
      if (flow->schedule == FlowSchedule::kExplicit && !flow->told.empty())
        return error(Code::kInvalidArgument,
                     "shift: this model's schedule lists what the network is told at each time");
      flow->shift = request.shift;
      flow->shift_by = FlowShift::kFixed;
    }
    return d;
  }
  auto& diffusion = std::get<DiffusionSpec>(d.sampler);
  ZT_RETURN_IF_ERROR(only_of(!request.schedule.empty(), "schedule", "flow matching"));
  ZT_RETURN_IF_ERROR(only_of(request.shift > 0, "shift", "flow matching"));
  if (!request.solver.empty()) diffusion.solver = request.solver;
  if (!request.spacing.empty()) {
    diffusion.spacing = request.spacing;
    if (diffusion.spacing != "leading") diffusion.steps_offset = 0;  // it alone has one
  }
  if (request.eta >= 0 && diffusion.solver != "ddim")
    return error(Code::kInvalidArgument, "eta is of the solver ddim; this request's is ",
                 diffusion.solver);
  if (request.eta >= 0) diffusion.eta = request.eta;
  return d;
}

}  // namespace zoetrope
