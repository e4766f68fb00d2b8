// Clips from requests to files: what `generate` and `resume` share.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/cli/generate_flags.h"
#include "runtime/cli/grid.h"
#include "runtime/cli/known_files.h"
#include "runtime/cli/later_models.h"
#include "runtime/cli/outputs.h"
#include "runtime/cli/progress.h"
#include "runtime/verify/receipt.h"
#include "runtime/verify/stage_log.h"

namespace zoetrope {

class ClipAssembly;

// Who hears of a run in place of the bar and Ctrl-C.
class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  // Before a clip begins; an error ends the run.
  virtual Status expect(const RequestPlan& plan) = 0;
  // False cancels.
  virtual bool progress(std::string_view task, double done, double total) = 0;
  virtual void notice(const std::string& text) = 0;
  // Latents of the clip as they would be (RunHooks::denoised), for whoever `previews` them.
  virtual bool previews() const { return false; }
  virtual void denoised(const RequestPlan&, std::span<const float> /*latents*/, int /*step*/) {}
};

struct GenerationOptions {
  GenerateFlags generate;  // finished
  KnownFlags known;
  UpsampleFlags upsample;
  SoundFlags sound;
  std::vector<std::string> outputs;  // of every clip; numbered where there are several
  std::string format;                // of outputs, whatever their names; empty: by the name
  bool json = false, quiet = false, no_metadata = false;
  double loudness = 0;  // LUFS that sound is brought to; 0: as it is
  std::string receipt;  // a file for the receipt; numbered where there are several clips
  GenerationListener* listener = nullptr;
  std::stop_token stop = {};  // cancels, as Ctrl-C does
};

// One clip of a run.
struct Clip {
  std::string prompt;
  uint64_t seed = 0;
  std::string short_prompt = "";  // that was expanded into the prompt; empty: it is as given
};

// Where a run that stopped goes on: at a clip, and within it at a state; null: from its start.
struct Continuation {
  size_t clip = 0;
  std::shared_ptr<const ResumePoint> point;
  // Of what was made before, as JSON; empty: not known, and then the clip holds none: what it is
  // made of would not make it again.
  std::string receipt;
};

// Standard output is one thing at a time.
Status check_stdout(const std::vector<std::string>& outputs, bool json);

class Generation {
 public:
  // Both are kept by reference.
  Generation(GenerationOptions& options, Engine& engine);

  // States go into this folder from here on; or into one that is made for this job once its plan
  // is accepted. Where a state cannot be written the run says so and goes on.
  // `moved`: the folder is told where the outputs go now, once they are known to work.
  void keep_states(CheckpointFolder folder, bool moved) {
    checkpoint_.emplace(std::move(folder));
    moves_outputs_ = moved;
  }
  void keep_states(std::string path, CheckpointJob job) {
    new_checkpoint_ = {std::move(path), std::move(job)};
  }

  // All of them, in order, or those that are left. `seed_drawn`: people want to know it.
  Status run(const std::vector<Clip>& clips, bool seed_drawn, Continuation from = {});

 private:
  Result<RequestPlan> plan(size_t clip);
  Result<RequestPlan> tell(size_t clip);
  Status check_sound() const;
  Status open_later();
  FirstClip first_clip(size_t clip, const RequestPlan& plan, int* channels) const;
  Result<std::vector<LaterPlan>> plan_later(size_t clip, const RequestPlan& plan);
  ClipFormat format_of(const RequestPlan& plan, const ClipAssembly& assembly,
                       const GridSink& tiles) const;
  bool as_grid(const RequestPlan& plan) const;
  Status prepare();
  Result<nlohmann::json> make(size_t clip);
  void keep_state(size_t clip, const RequestPlan& plan, const StageLog& log,
                  const DenoiseState& state, const StageValues& values);
  void say_not_kept(const Status& status);
  std::vector<std::string> inputs() const;
  bool wants_receipt(size_t clip) const {
    const bool known = clip != from_.clip || from_.point == nullptr || !from_.receipt.empty();
    return known && (!o_.no_metadata || !o_.receipt.empty());
  }
  Receipt receipt_of(RequestRecord record, const RequestPlan& plan, const StageLog& log) const;
  Status give_receipt(const RequestPlan& plan, const StageLog& log, const std::string& file,
                      Outputs* outputs);

  GenerationOptions& o_;
  Engine& engine_;
  Request& request_;
  ProgressBar bar_;
  RunHooks hooks_;
  MediaTarget target_;
  KnownFiles known_;
  LaterModels later_;
  std::vector<Clip> clips_;
  Receipt before_;  // of the clip in work: what was made of it before it went on
  Continuation from_;
  std::vector<std::vector<std::string>> paths_;  // of outputs, by clip
  std::vector<std::string> receipts_;            // by clip; empty: none beside it
  OutputClaim claim_;                            // of all of them
  std::pair<std::string, CheckpointJob> new_checkpoint_;
  bool moves_outputs_ = false;
  std::optional<CheckpointFolder> checkpoint_;
  std::string expanded_from_;  // of the clip that is planned
  std::string not_kept_;       // why states are not kept now; said once
};

}  // namespace zoetrope
