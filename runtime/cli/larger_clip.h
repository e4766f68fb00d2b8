// A clip made larger by a second model, which makes it anew (the recipe's stage `source_clip`).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/cli/second_model.h"
#include "runtime/engine/engine.h"
#include "runtime/media/clip_writer.h"
#include "runtime/verify/receipt.h"

namespace zoetrope {

struct UpsampleFlags {
  std::string model;  // empty: no second model
  int steps = 0;      // as of Request

  void add_to(CLI::App* app);
  bool given() const { return !model.empty(); }
};

// What progress of the second model is told under.
inline std::string upsample_task(std::string_view task) { return str("upsample: ", task); }

// Holds the first model's clip until all of it is there. Its sound goes on as it is.
class LargerClip : public ClipSink {
 public:
  // Errors: a first model that makes no clips; a second one that makes none larger. Device,
  // arithmetic and budget are the first's. `for_planning`: a built-in model's name will do.
  static Result<std::unique_ptr<LargerClip>> open(const UpsampleFlags& flags,
                                                  const GenerateFlags& first, const Recipe& recipe,
                                                  bool for_planning = false);
  // The same with flags of its own, finished.
  static Result<std::unique_ptr<LargerClip>> open(GenerateFlags flags, const Recipe& recipe,
                                                  bool for_planning = false);

  // Of a clip that is not there yet.
  Result<RequestPlan> plan(const FirstClip& clip);

  // The clip whose frames and sound (of so many channels) come next.
  Status begin(const FirstClip& clip, int channels, ClipSink& out);
  Status frames(const uint8_t* pixels, int64_t count) override;
  Status audio(const float* samples, int64_t count) override;
  // All of it came: gives `out` the larger clip, and then the sound.
  Result<RunStats> run(const RunHooks& hooks);

  // How much larger the clip becomes.
  int scale() const;
  const Model& model() const { return engine_->model(); }
  const std::string& path() const { return engine_->model().path; }
  // Of the last run.
  Result<Receipt> receipt() const;

 private:
  explicit LargerClip(GenerateFlags flags) : generate_(std::move(flags)) {}
  Status set(const FirstClip& clip);

  GenerateFlags generate_;
  std::unique_ptr<Engine> engine_;
  ClipSink* out_ = nullptr;
  int channels_ = 0;
  std::vector<float> sound_;  // interleaved
  std::vector<StageRecord> stages_;
};

}  // namespace zoetrope
