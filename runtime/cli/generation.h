// Clips from requests to files: what `generate` and `resume` share.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/cli/generate_flags.h"
#include "runtime/cli/grid.h"
#include "runtime/cli/known_files.h"
#include "runtime/cli/outputs.h"
#include "runtime/cli/progress.h"
#include "runtime/verify/stage_log.h"

namespace zoetrope {

class ClipAssembly;

struct GenerationOptions {
  GenerateFlags generate;  // finished
  KnownFlags known;
  std::vector<std::string> outputs;  // of every clip; numbered where there are several
  std::string format;                // of outputs, whatever their names; empty: by the name
  bool json = false, quiet = false, no_metadata = false;
  std::string receipt;  // a file for the receipt; numbered where there are several clips
};

// One clip of a run.
struct Clip {
  std::string prompt;
  uint64_t seed = 0;
};

// Standard output is one thing at a time.
Status check_stdout(const std::vector<std::string>& outputs, bool json);

class Generation {
 public:
  // Both are kept by reference.
  Generation(GenerationOptions& options, Engine& engine);

  // All of them, in order. `seed_drawn`: people want to know it.
  Status run(const std::vector<Clip>& clips, bool seed_drawn);

 private:
  Result<RequestPlan> plan(const Clip& clip);
  Result<RequestPlan> tell(const Clip& clip);
  ClipFormat format_of(const RequestPlan& plan, const ClipAssembly& assembly,
                       const GridSink& tiles) const;
  bool as_grid(const RequestPlan& plan) const;
  Status prepare(const std::vector<Clip>& clips);
  Status check_receipts(const std::vector<std::string>& outputs) const;
  Result<nlohmann::json> make(const Clip& clip, const std::vector<std::string>& paths,
                              const std::string& receipt);
  bool wants_receipt() const { return !o_.no_metadata || !o_.receipt.empty(); }
  Status give_receipt(const RequestPlan& plan, const StageLog& log, const std::string& file,
                      Outputs* outputs);

  GenerationOptions& o_;
  Engine& engine_;
  Request& request_;
  ProgressBar bar_;
  RunHooks hooks_;
  MediaTarget target_;
  KnownFiles known_;
  std::vector<std::vector<std::string>> paths_;  // of outputs, by clip
  std::vector<std::string> receipts_;            // by clip; empty: none beside it
};

}  // namespace zoetrope
