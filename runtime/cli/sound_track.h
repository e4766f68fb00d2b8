// Sound for a clip by a second model, which looks at the frames as they go to the file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/cli/second_model.h"
#include "runtime/engine/engine.h"
#include "runtime/media/clip_writer.h"
#include "runtime/verify/receipt.h"

namespace zoetrope {

struct SoundFlags {
  std::string model;             // empty: no second model
  std::string prompt, negative;  // prompt empty: the clip's
  int steps = 0;                 // as of Request
  double guidance = -1;

  void add_to(CLI::App* app);
  bool given() const { return !model.empty(); }
};

// What progress of the second model is told under.
inline std::string sound_task(std::string_view task) { return str("sound: ", task); }

class SoundTrack : public ClipSink {
 public:
  // Errors: a first model that makes sound, or pictures; a second one that is not made for clips.
  // Device, arithmetic and budget are the first's. `for_planning`: a built-in model's name will do.
  static Result<std::unique_ptr<SoundTrack>> open(const SoundFlags& flags,
                                                  const GenerateFlags& first, const Recipe& recipe,
                                                  bool for_planning = false);

  // The same with flags of its own, finished.
  static Result<std::unique_ptr<SoundTrack>> open(GenerateFlags flags, const Recipe& recipe,
                                                  bool for_planning = false);

  // Of a clip that is not there yet.
  Result<RequestPlan> plan(const FirstClip& clip);

  // The clip whose frames come next; they go on to `out`, and then the sound does.
  Status begin(const FirstClip& clip, ClipSink& out);
  Status frames(const uint8_t* pixels, int64_t count) override;
  Status audio(const float* samples, int64_t count) override;
  // All frames came: makes the sound, as long as they are.
  Result<RunStats> run(const RunHooks& hooks);

  // Rate, channels and length of the sound.
  void add_to(ClipFormat* format) const;
  const Model& model() const { return engine_->model(); }
  const std::string& path() const { return engine_->model().path; }
  // Of the last run.
  Result<Receipt> receipt() const;

 private:
  explicit SoundTrack(GenerateFlags flags) : generate_(std::move(flags)) {}
  Status set(const FirstClip& clip);
  int64_t shown_at(int64_t frame) const;

  GenerateFlags generate_;
  std::string prompt_;  // empty: the clip's
  std::unique_ptr<Engine> engine_;
  FirstClip clip_;
  int64_t came_ = 0;  // frames of the clip
  ClipSink* out_ = nullptr;
  std::vector<StageRecord> stages_;
};

}  // namespace zoetrope
