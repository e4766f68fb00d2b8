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

namespace zoetrope {

class ClipAssembly;

struct GenerationOptions {
  GenerateFlags generate;  // finished
  KnownFlags known;
  std::vector<std::string> outputs;  // of every clip; numbered where there are several
  std::string format;                // of outputs, whatever their names; empty: by the name
  bool json = false, quiet = false, no_metadata = false;
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
  ClipFormat format_of(const RequestPlan& plan, const ClipAssembly& assembly,
                       const GridSink& tiles) const;
  bool as_grid(const RequestPlan& plan) const;
  Status prepare(const std::vector<Clip>& clips);
  Result<nlohmann::json> make(const Clip& clip, const std::vector<std::string>& paths);

  GenerationOptions& o_;
  Engine& engine_;
  Request& request_;
  ProgressBar bar_;
  RunHooks hooks_;
  MediaTarget target_;
  KnownFiles known_;
  std::vector<std::vector<std::string>> paths_;  // of outputs, by clip
};

}  // namespace zoetrope
