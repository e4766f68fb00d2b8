// Models that go on from the first one's clip, one after the other: one makes it larger, one makes
// its sound.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cli/larger_clip.h"
#include "runtime/cli/sound_track.h"

namespace zoetrope {

struct LaterPlan {
  const char *name, *title;  // "upsample", "the larger clip"
  std::string (*task)(std::string_view task);
  RequestPlan plan;
};

class LaterModels {
 public:
  Status open(const UpsampleFlags& upsample, const SoundFlags& sound, const GenerateFlags& first,
              const Recipe& recipe, bool for_planning = false);
  // Those of a receipt, opened as they were; `flags_of` says with which flags.
  Status reopen(const Receipt& before, const Recipe& recipe,
                const std::function<Result<GenerateFlags>(const RequestRecord&)>& flags_of);

  bool any() const { return larger_ != nullptr || sound_ != nullptr; }
  bool make_larger() const { return larger_ != nullptr; }
  const SoundTrack* sound() const { return sound_.get(); }

  // The first model's clip as it comes out of the last one.
  void change(ClipFormat* format) const;
  // In the order in which they run; they point to these models' devices.
  Result<std::vector<LaterPlan>> plan(FirstClip clip);

  // Where the first model's clip goes; what becomes of it goes on to `out`.
  Result<ClipSink*> begin(FirstClip clip, int channels, ClipSink& out);
  // All of it came. Adds to what the first model took.
  Status run(const RunHooks& hooks, RunStats* stats);

  // Files that they read.
  std::vector<std::string> paths() const;
  // Of the last run.
  Status add_receipts(Receipt* receipt) const;

 private:
  FirstClip enlarged(FirstClip clip) const;
  std::unique_ptr<LargerClip> larger_;
  std::unique_ptr<SoundTrack> sound_;
};

// Of the first model's plan and of those that come later: time, tasks and memory one after the
// other.
double all_seconds(const RequestPlan& first, const std::vector<LaterPlan>& later);
int64_t all_peak_bytes(const RequestPlan& first, const std::vector<LaterPlan>& later);
std::vector<ExpectedTask> all_tasks(const RequestPlan& first, const std::vector<LaterPlan>& later);
// Tells a person what they take, where it is known.
void tell_estimate(const RequestPlan& first, const std::vector<LaterPlan>& later,
                   const RunHooks& hooks);

}  // namespace zoetrope
