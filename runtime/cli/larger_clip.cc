#include "runtime/cli/larger_clip.h"

#include "runtime/cli/prompt_flags.h"
#include "runtime/cli/record_flags.h"
#include "runtime/engine/check.h"
#include "runtime/engine/find_stage.h"
#include "runtime/verify/stage_log.h"

namespace zoetrope {

void UpsampleFlags::add_to(CLI::App* app) {
  auto* second = app->add_option(
      "--upsample", model,
      "Make the clip larger with this model (.zoe), which makes clips anew at a multiple of their "
      "size; its sound stays. --device, --compute and --memory are both models', --place the first "
      "one's");
  app->add_option("--upsample-steps", steps, "Denoising steps of the larger clip")
      ->check(whole_in(1, 10000))
      ->needs(second);
}

namespace {

Status check_first(const Recipe& recipe) {
  if (recipe.stages.empty()) return Status();  // planning says what it lacks
  const LatentSpec* picture = recipe.picture();
  if (picture != nullptr && picture->media == Modality::kVideo) return Status();
  return error(Code::kInvalidArgument, "--upsample: the first model makes ",
               picture == nullptr ? "sound alone" : "pictures", "; expected one that makes clips");
}

Status check_second(const Model& model, const std::string& path) {
  const auto* source = find_stage<SourceClip>(model.recipe);
  if (source != nullptr && source->scale > 1 && model.recipe.sound() == nullptr) return Status();
  return error(Code::kInvalidArgument, "--upsample ", path, ": this model ",
               source == nullptr ? str("makes no clip anew, it takes ", given_media(model.recipe))
               : source->scale == 1 ? std::string("makes clips anew at their own size")
                                    : std::string("makes sound of its own"),
               "; expected one that makes them larger");
}

}  // namespace

Result<std::unique_ptr<LargerClip>> LargerClip::open(const UpsampleFlags& flags,
                                                     const GenerateFlags& first,
                                                     const Recipe& recipe, bool for_planning) {
  GenerateFlags g = flags_of_second(flags.model, first);
  g.request.steps = flags.steps;
  ZT_RETURN_IF_ERROR(g.finish());
  g.request.memory_budget = first.request.memory_budget;
  return open(std::move(g), recipe, for_planning);
}

Result<std::unique_ptr<LargerClip>> LargerClip::open(GenerateFlags flags, const Recipe& recipe,
                                                     bool for_planning) {
  ZT_RETURN_IF_ERROR(check_first(recipe));
  std::unique_ptr<LargerClip> made(new LargerClip(std::move(flags)));
  auto engine = made->generate_.open_engine(/*keep_sessions=*/false, for_planning);
  if (!engine.ok()) return engine.status().with_context("--upsample");
  made->engine_ = std::move(*engine);
  ZT_RETURN_IF_ERROR(check_second(made->engine_->model(), made->generate_.model));
  return made;
}

int LargerClip::scale() const { return find_stage<SourceClip>(model().recipe)->scale; }

Status LargerClip::set(const FirstClip& clip) {
  if (clip.frames <= 1)
    return error(Code::kInvalidArgument, "--upsample: a single picture is no clip");
  Request& r = generate_.request;
  r.prompt = clip.prompt;
  r.seed = clip.seed;
  r.clip = {};
  r.clip.width = clip.width * scale();
  r.clip.height = clip.height * scale();
  r.clip.frames = clip.frames;
  r.clip.fps = clip.fps;
  r.known = {};
  r.known.source.frames = clip.frames;
  return Status();
}

Result<RequestPlan> LargerClip::plan(const FirstClip& clip) {
  ZT_RETURN_IF_ERROR(set(clip));
  auto plan = engine_->plan(generate_.request);
  if (!plan.ok()) return plan.status().with_context("--upsample");
  return plan;
}

Status LargerClip::begin(const FirstClip& clip, int channels, ClipSink& out) {
  ZT_RETURN_IF_ERROR(set(clip));
  out_ = &out;
  channels_ = channels;
  sound_.clear();
  return Status();
}

Status LargerClip::frames(const uint8_t* pixels, int64_t count) {
  const ClipRequest& larger = generate_.request.clip;
  const int64_t frame = larger.width / scale() * (larger.height / scale()) * 3;
  std::vector<uint8_t>& held = generate_.request.known.source.pixels;
  held.insert(held.end(), pixels, pixels + count * frame);
  return Status();
}

Status LargerClip::audio(const float* samples, int64_t count) {
  sound_.insert(sound_.end(), samples, samples + count * channels_);
  return Status();
}

Result<RunStats> LargerClip::run(const RunHooks& hooks) {
  ZT_CHECK(out_ != nullptr);
  const ClipRequest& clip = generate_.request.clip;
  StageLog log(out_, kReceiptSamples, /*keep_clip=*/false);
  log.begin(clip.width * clip.height * 3, 0);
  RunHooks named = hooks;
  named.denoised = nullptr;
  named.state = nullptr;
  named.progress = [&](std::string_view task, double done, double total) {
    return !hooks.progress || hooks.progress(upsample_task(task), done, total);
  };
  named.observe = [&](const Observation& made) { return log.observe(made); };
  auto stats = engine_->run(generate_.request, log, named);
  generate_.request.known.source.pixels = {};
  if (!stats.ok()) return stats.status().with_context("--upsample");
  stages_ = log.records();
  if (!sound_.empty())
    ZT_RETURN_IF_ERROR(out_->audio(sound_.data(), static_cast<int64_t>(sound_.size()) / channels_));
  sound_ = {};
  return stats;
}

Result<Receipt> LargerClip::receipt() const {
  ZT_ASSIGN_OR_RETURN(RequestRecord record, record_of(generate_, KnownFlags(), model()));
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine_->plan(generate_.request));
  return make_receipt(std::string("Zoetrope ") + ZOETROPE_VERSION, std::move(record), plan,
                      stages_);
}

}  // namespace zoetrope
