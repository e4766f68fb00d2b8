#include "runtime/cli/later_models.h"

#include <algorithm>

#include "runtime/cli/record_flags.h"

namespace zoetrope {

Status LaterModels::open(const UpsampleFlags& upsample, const SoundFlags& sound,
                         const GenerateFlags& first, const Recipe& recipe, bool for_planning) {
  if (upsample.given()) {
    ZT_ASSIGN_OR_RETURN(larger_, LargerClip::open(upsample, first, recipe, for_planning));
  }
  if (sound.given()) {
    ZT_ASSIGN_OR_RETURN(sound_, SoundTrack::open(sound, first, recipe, for_planning));
  }
  return Status();
}

Status LaterModels::reopen(
    const Receipt& before, const Recipe& recipe,
    const std::function<Result<GenerateFlags>(const RequestRecord&)>& flags_of) {
  if (!before.upsampled.empty()) {
    const RequestRecord& record = before.upsampled[0].request;
    ZT_ASSIGN_OR_RETURN(GenerateFlags flags, flags_of(record));
    ZT_ASSIGN_OR_RETURN(larger_, LargerClip::open(std::move(flags), recipe));
    ZT_RETURN_IF_ERROR(check_model_file(record, larger_->model()));
  }
  if (!before.sound.empty()) {
    const RequestRecord& record = before.sound[0].request;
    ZT_ASSIGN_OR_RETURN(GenerateFlags flags, flags_of(record));
    ZT_ASSIGN_OR_RETURN(sound_, SoundTrack::open(std::move(flags), recipe));
    ZT_RETURN_IF_ERROR(check_model_file(record, sound_->model()));
  }
  return Status();
}

FirstClip LaterModels::enlarged(FirstClip clip) const {
  const int scale = larger_ ? larger_->scale() : 1;
  clip.width *= scale;
  clip.height *= scale;
  return clip;
}

void LaterModels::change(ClipFormat* format) const {
  if (larger_) {
    format->width *= larger_->scale();
    format->height *= larger_->scale();
    format->copy_picture.clear();
  }
  if (sound_) sound_->add_to(format);
}

Result<std::vector<LaterPlan>> LaterModels::plan(FirstClip clip) {
  std::vector<LaterPlan> plans;
  if (larger_) {
    ZT_ASSIGN_OR_RETURN(RequestPlan plan, larger_->plan(clip));
    plans.push_back({"upsample", "the larger clip", upsample_task, std::move(plan)});
  }
  if (sound_) {
    ZT_ASSIGN_OR_RETURN(RequestPlan plan, sound_->plan(enlarged(clip)));
    plans.push_back({"sound", "the sound", sound_task, std::move(plan)});
  }
  return plans;
}

Result<ClipSink*> LaterModels::begin(FirstClip clip, int channels, ClipSink& out) {
  ClipSink* next = &out;
  if (sound_) {
    ZT_RETURN_IF_ERROR(sound_->begin(enlarged(clip), *next));
    next = sound_.get();
  }
  if (larger_) {
    ZT_RETURN_IF_ERROR(larger_->begin(clip, channels, *next));
    next = larger_.get();
  }
  return next;
}

Status LaterModels::run(const RunHooks& hooks, RunStats* stats) {
  const auto add = [&](const RunStats& more) {
    stats->load_seconds += more.load_seconds;
    stats->denoise_seconds += more.denoise_seconds;
    stats->decode_seconds += more.decode_seconds;
    stats->total_seconds += more.total_seconds;
    stats->planned_peak_bytes = std::max(stats->planned_peak_bytes, more.planned_peak_bytes);
    stats->peak_bytes = std::max(stats->peak_bytes, more.peak_bytes);
  };
  if (larger_) {
    ZT_ASSIGN_OR_RETURN(const RunStats more, larger_->run(hooks));
    add(more);
  }
  if (sound_) {
    ZT_ASSIGN_OR_RETURN(const RunStats more, sound_->run(hooks));
    add(more);
  }
  return Status();
}

std::vector<std::string> LaterModels::paths() const {
  std::vector<std::string> paths;
  if (larger_ && !larger_->path().empty()) paths.push_back(larger_->path());
  if (sound_ && !sound_->path().empty()) paths.push_back(sound_->path());
  return paths;
}

Status LaterModels::add_receipts(Receipt* receipt) const {
  if (larger_) {
    ZT_ASSIGN_OR_RETURN(receipt->upsampled.emplace_back(), larger_->receipt());
  }
  if (sound_) {
    ZT_ASSIGN_OR_RETURN(receipt->sound.emplace_back(), sound_->receipt());
  }
  return Status();
}

double all_seconds(const RequestPlan& first, const std::vector<LaterPlan>& later) {
  double seconds = first.estimated_seconds();
  for (const LaterPlan& next : later) {
    const double more = next.plan.estimated_seconds();
    seconds = seconds > 0 && more > 0 ? seconds + more : 0;
  }
  return seconds;
}

int64_t all_peak_bytes(const RequestPlan& first, const std::vector<LaterPlan>& later) {
  int64_t bytes = first.peak_bytes();
  for (const LaterPlan& next : later) bytes = std::max(bytes, next.plan.peak_bytes());
  return bytes;
}

std::vector<ExpectedTask> all_tasks(const RequestPlan& first, const std::vector<LaterPlan>& later) {
  std::vector<ExpectedTask> tasks = expected_tasks(first);
  for (const LaterPlan& next : later)
    for (const ExpectedTask& task : expected_tasks(next.plan))
      tasks.push_back({next.task(task.name), task.seconds});
  return tasks;
}

void tell_estimate(const RequestPlan& first, const std::vector<LaterPlan>& later,
                   const RunHooks& hooks) {
  std::vector<const RequestPlan*> plans{&first};
  for (const LaterPlan& next : later) plans.push_back(&next.plan);
  double reading = 0;
  bool calibrated = true;
  const RequestPlan* larger = plans[0];
  for (const RequestPlan* plan : plans) {
    if (plan->disk_rate > 0) reading += plan->reading_seconds();
    calibrated = calibrated && plan->calibrated();
    if (plan->peak_bytes() > larger->peak_bytes()) larger = plan;
  }
  const double seconds = all_seconds(first, later);
  if (seconds <= 0) return;
  hooks.notice(str(
      "about ", format_seconds(seconds), calibrated ? "" : " (roughly)",
      reading > 0 ? str(", ", format_seconds(reading), " of it reading the file") : std::string(),
      ", at most ", format_bytes(static_cast<double>(larger->peak_bytes())), " on ",
      larger->peak().device->spec()));
}

}  // namespace zoetrope
