#include "runtime/cli/sound_track.h"

#include <algorithm>

#include "runtime/cli/clip_assembly.h"
#include "runtime/cli/prompt_flags.h"
#include "runtime/cli/record_flags.h"
#include "runtime/engine/check.h"
#include "runtime/verify/stage_log.h"

namespace zoetrope {

void SoundFlags::add_to(CLI::App* app) {
  auto* second = app->add_option(
      "--sound", model,
      "Make the clip's sound as well, with this model of sound (.zoe), which looks at the frames; "
      "--device, --compute and --memory are both models', --place the picture's");
  app->add_option("--sound-prompt", prompt, "What to hear; left out, the clip's prompt")
      ->needs(second);
  app->add_option("--sound-negative", negative, "What the sound is to steer away from")
      ->needs(second);
  app->add_option("--sound-steps", steps, "Denoising steps of the sound")
      ->check(whole_in(1, 10000))
      ->needs(second);
  app->add_option("--sound-guidance", guidance, "How strongly frames and words guide the sound")
      ->check(number_in(0, 100))
      ->needs(second);
}

namespace {

Status check_first(const Recipe& recipe) {
  const LatentSpec* picture = recipe.picture();
  if (recipe.stages.empty()) return Status();  // planning says what it lacks
  if (recipe.sound() != nullptr)
    return error(Code::kInvalidArgument, "--sound: ",
                 picture == nullptr ? "the first model makes sound itself; --video FILE gives it a "
                                      "clip to look at"
                                    : "the first model makes the sound of its clips itself");
  if (picture == nullptr || picture->media != Modality::kVideo)
    return error(Code::kInvalidArgument,
                 "--sound: the first model makes pictures, which have no length");
  return Status();
}

Status check_second(const Model& model, const std::string& path) {
  const Recipe& recipe = model.recipe;
  if (recipe.sound_alone() && hears_frames(recipe)) return Status();
  return error(Code::kInvalidArgument, "--sound ", path, ": ",
               recipe.sound_alone() ? "this model makes sound of words alone, not of frames"
                                    : "this is no model of sound alone",
               "; expected one that makes sound and looks at clips");
}

}  // namespace

Result<std::unique_ptr<SoundTrack>> SoundTrack::open(const SoundFlags& flags,
                                                     const GenerateFlags& first,
                                                     const Recipe& recipe, bool for_planning) {
  GenerateFlags g = flags_of_second(flags.model, first);
  g.request.steps = flags.steps;
  g.request.guidance = flags.guidance;
  ZT_RETURN_IF_ERROR(g.finish());
  g.request.memory_budget = first.request.memory_budget;
  ZT_ASSIGN_OR_RETURN(g.request.negative, read_prompt(flags.negative));
  ZT_ASSIGN_OR_RETURN(auto track, open(std::move(g), recipe, for_planning));
  ZT_ASSIGN_OR_RETURN(track->prompt_, read_prompt(flags.prompt));
  return track;
}

Result<std::unique_ptr<SoundTrack>> SoundTrack::open(GenerateFlags flags, const Recipe& recipe,
                                                     bool for_planning) {
  ZT_RETURN_IF_ERROR(check_first(recipe));
  std::unique_ptr<SoundTrack> track(new SoundTrack(std::move(flags)));
  GenerateFlags& g = track->generate_;
  auto engine = g.open_engine(/*keep_sessions=*/false, for_planning);
  if (!engine.ok()) return engine.status().with_context("--sound");
  track->engine_ = std::move(*engine);
  track->prompt_ = g.request.prompt;
  ZT_RETURN_IF_ERROR(check_second(track->engine_->model(), g.model));
  return track;
}

Status SoundTrack::set(const FirstClip& clip) {
  const ClipSpec& spec = model().recipe.clip;
  if (clip.frames <= 1)
    return error(Code::kInvalidArgument, "--sound: a single picture has no length");
  Request& r = generate_.request;
  clip_ = clip;
  r.prompt = prompt_.empty() ? clip.prompt : prompt_;
  r.seed = clip.seed;
  r.clip = {};
  r.clip.samples = samples_of_frames(clip.frames, spec.sample_rate, clip.fps);
  r.known = {};
  r.known.video.frames = frames_of_samples(r.clip.samples, spec.sample_rate, spec.fps);
  return Status();
}

Result<RequestPlan> SoundTrack::plan(const FirstClip& clip) {
  ZT_RETURN_IF_ERROR(set(clip));
  auto plan = engine_->plan(generate_.request);
  if (!plan.ok()) return plan.status().with_context("--sound");
  return plan;
}

Status SoundTrack::begin(const FirstClip& clip, ClipSink& out) {
  ZT_RETURN_IF_ERROR(set(clip));
  out_ = &out;
  came_ = 0;
  return Status();
}

// The clip's frame that is shown when the model sees its `frame`.
int64_t SoundTrack::shown_at(int64_t frame) const {
  return std::min(frame * clip_.fps / model().recipe.clip.fps, clip_.frames - 1);
}

Status SoundTrack::frames(const uint8_t* pixels, int64_t count) {
  const ClipSpec& spec = model().recipe.clip;
  const auto one = static_cast<size_t>(clip_.width * clip_.height * 3),
             seen = static_cast<size_t>(spec.width.preferred * spec.height.preferred * 3);
  KnownFrames& video = generate_.request.known.video;
  for (int64_t i = 0; i < count; ++i, ++came_) {
    auto next = static_cast<int64_t>(video.pixels.size() / seen);
    if (next >= video.frames || shown_at(next) != came_) continue;
    const uint8_t* frame = pixels + static_cast<size_t>(i) * one;
    const std::vector<uint8_t> small =
        resize({frame, frame + one}, clip_.width, clip_.height, 1, Fit::kCover,
               spec.width.preferred, spec.height.preferred, Rgb{255, 255, 255});
    for (; next < video.frames && shown_at(next) == came_; ++next)
      video.pixels.insert(video.pixels.end(), small.begin(), small.end());
  }
  return out_->frames(pixels, count);
}

Status SoundTrack::audio(const float* samples, int64_t count) {
  return out_->audio(samples, count);
}

Result<RunStats> SoundTrack::run(const RunHooks& hooks) {
  ZT_CHECK(came_ == clip_.frames && out_ != nullptr);
  const Recipe& recipe = model().recipe;
  ClipRequest none_asked;
  ZT_ASSIGN_OR_RETURN(const MediaTarget target, media_target(recipe, KnownFlags(), &none_asked));
  KnownFiles none;
  none.samples = generate_.request.clip.samples;
  const KnownMedia nothing;
  ClipAssembly ending(none, nothing, target, *out_);  // the end fades as that of any model's sound
  StageLog log(&ending, kReceiptSamples, /*keep_clip=*/false);
  log.begin(0, recipe.clip.sound_channels);
  RunHooks named = hooks;
  named.denoised = nullptr;
  named.state = nullptr;
  named.progress = [&](std::string_view task, double done, double total) {
    return !hooks.progress || hooks.progress(sound_task(task), done, total);
  };
  named.observe = [&](const Observation& made) { return log.observe(made); };
  auto stats = engine_->run(generate_.request, log, named);
  generate_.request.known.video.pixels = {};
  if (!stats.ok()) return stats.status().with_context("--sound");
  ZT_RETURN_IF_ERROR(ending.finish());
  stages_ = log.records();
  return stats;
}

void SoundTrack::add_to(ClipFormat* format) const {
  const ClipSpec& spec = model().recipe.clip;
  format->sample_rate = spec.sample_rate;
  format->channels = spec.sound_channels;
  format->samples = samples_of_frames(format->frames, spec.sample_rate, format->fps);
}

Result<Receipt> SoundTrack::receipt() const {
  ZT_ASSIGN_OR_RETURN(RequestRecord record, record_of(generate_, KnownFlags(), model()));
  GenerateFlags flags = generate_;
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine_->plan(flags.request));
  return make_receipt(std::string("Zoetrope ") + ZOETROPE_VERSION, std::move(record), plan,
                      stages_);
}

}  // namespace zoetrope
