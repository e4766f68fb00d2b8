// What a checkpoint's run is, and how far: job.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine/request_record.h"

namespace zoetrope {

struct CheckpointClip {
  std::string prompt;
  uint64_t seed = 0;
  std::string short_prompt = {};  // that was expanded into the prompt; empty: it is as given
};

struct CheckpointJob {
  std::string software;   // that wrote it
  RequestRecord request;  // prompt and seed are the clips'
  std::vector<CheckpointClip> clips;
  std::vector<std::string> outputs;  // before they are numbered
  std::string format;                // of outputs; empty: by their names
  std::string receipt;               // a file beside them; empty: none
  bool metadata = true;              // goes into the outputs
  std::optional<double> loudness;    // LUFS that sound is brought to
  int every = 1;                     // steps between states; the last step has one whatever
  int keep = 8;                      // states of the clip in work, at most
  int64_t finished = 0;              // clips whose outputs are written
};

inline constexpr int kMaxSteps = 10000;  // as requests have them
inline constexpr int kFewestKept = 2;
inline constexpr int64_t kMaxClips = 10'000'000;

// A hash of what decides every bit of the clips: other files of the folder hold it.
std::string checkpoint_id(const CheckpointJob& job);

// The file appears whole or not at all, with a hash. Links and pipes are neither written to nor
// read; errors name the file.
Status write_checkpoint_job(const std::string& path, const CheckpointJob& job);
Result<CheckpointJob> read_checkpoint_job(const std::string& path);

}  // namespace zoetrope
