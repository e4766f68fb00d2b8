// A folder that holds a run of one clip or several, so that it goes on after a crash, on another
// device, or in another direction:
//
//   job.json                           what was asked for, and how many clips are done
//   clip-00001.values.safetensors      what stages before denoising gave
//   clip-00001.step-00012.safetensors  denoising after 12 steps
//
// Every file appears whole or not at all, and says by hashes whether it still is what was written.
// At any time there are files of one clip alone, and of its steps a bounded number. One process
// writes to a folder at a time; others may read meanwhile. Not thread safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/checkpoint/job.h"
#include "runtime/engine/denoise_state.h"
#include "runtime/engine/request_plan.h"

namespace zoetrope {

// Steps that stay of `saved` (rising): the last two, and of the others those that lie evenly: the
// multiples of the least power of two of which there are at most keep − 2 up to `steps`.
std::vector<int> steps_to_keep(const std::vector<int>& saved, int steps, int keep);

// One clip's state as its file has it.
struct SavedState {
  std::shared_ptr<ResumePoint> point;
  std::string made_on;  // devices
  std::string receipt;  // of the caller, JSON; empty: none
};

class CheckpointFolder {
 public:
  // Makes the folder where it is missing and begins a job in it; takes the folder for this process.
  // A folder with a job that is not done is an error: somebody may want to go on with it. One that
  // is done is replaced.
  static Result<CheckpointFolder> create(const std::string& path, CheckpointJob job);
  // Of a folder that has one. `writes`: takes it for this process, and clears away what a process
  // that died has left half-written.
  static Result<CheckpointFolder> open(const std::string& path, bool writes);
  CheckpointFolder(CheckpointFolder&&) noexcept;
  CheckpointFolder& operator=(CheckpointFolder&&) noexcept;
  ~CheckpointFolder();

  const std::string& path() const { return path_; }
  const CheckpointJob& job() const { return job_; }
  bool is_finished() const { return job_.finished == static_cast<int64_t>(job_.clips.size()); }
  // The clip that comes next; of a job that is done, the last one.
  int64_t clip_in_work() const;
  // Steps done of the clip's states, rising.
  Result<std::vector<int>> steps(int64_t clip) const;

  // The state after so many steps. Values that are not there are left out.
  Result<SavedState> load(int64_t clip, int steps_done) const;

  // Where a state is due, writes it and the values that come with it, and removes what is not kept.
  // `plan` names the streams and devices. An error leaves the states before it as they were.
  Status save(int64_t clip, const DenoiseState& state, const StageValues& values,
              const RequestPlan& plan, const Recipe& recipe, const std::string& receipt);
  // Its outputs are written.
  Status finish(int64_t clip);
  // Changes where the rest goes.
  Status set_outputs(std::vector<std::string> outputs, std::string format, std::string receipt);

 private:
  CheckpointFolder() = default;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  Status take();
  Status read_job();
  Status remove_stale() const;
  Status remove_clips_but(int64_t clip) const;
  Status prune(int64_t clip, int steps) const;

  std::string path_;
  int lock_ = -1;  // of the folder, where this process writes
  CheckpointJob job_;
  std::string id_;          // hash of what decides every bit of the clips
  int64_t values_of_ = -1;  // the clip whose values this process has written
};

}  // namespace zoetrope
