// Runs queued jobs, one after the other, on a thread of its own: what is killed or stopped in the
// middle of a job goes on from its last step.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "runtime/cli/generation.h"
#include "runtime/engine/remaining.h"
#include "runtime/serve/job_store.h"
#include "runtime/serve/models.h"

namespace zoetrope {

struct JobProgress {
  std::string task;
  double done = 0, total = 0;  // of the task
  double seconds_left = -1;    // of the job; less than 0: not known
  double fraction = 0;         // of the job, by time; 0 where that is not known
  std::vector<std::string> notices;
  std::shared_ptr<const PreviewFrames> preview;  // null: there is none yet
  int preview_step = 0;                          // after which it was
  uint64_t version = 0;                          // grows with each change
};

// Says what happens, for the log. `job`: null where it is of none. `message`: may hold words of the
// prompt where the event is a notice, and then alone.
using JobLog =
    std::function<void(const ServeJob* job, std::string_view event, const std::string& message)>;

class Worker {
 public:
  // All are kept by reference; `flags` says how the engines were opened. Jobs have folders in
  // `folder`.
  Worker(ModelPool& models, JobStore& store, const GenerateFlags& flags, std::string folder,
         JobLog log);
  ~Worker() { stop(); }

  void start();
  // Ends the running job after its step; it is queued again and goes on with the next start().
  void stop();
  // There may be something to do.
  void wake();
  // Ends the job if it is the running one; its state is set soon after. False: it is not.
  bool cancel(const std::string& id);
  // Of the running job, if it is this one.
  std::optional<JobProgress> progress(const std::string& id) const;
  // Returns when anything has changed since `version`, or after so many milliseconds.
  uint64_t wait_for_change(uint64_t version, int milliseconds) const;

  // The job's own folder, and its result there.
  std::string folder_of(const std::string& id) const { return folder_ + "/" + id; }
  // What the job was given, by given_in()'s keys; a name of nothing where it was not.
  std::string given_of(const std::string& id, const std::string& key) const {
    return folder_of(id) + "/given/" + key;
  }
  double busy_seconds() const { return busy_seconds_; }
  // Why the last job failed, where that was no fault of the job's: a device or a model that is not
  // there any more. Empty: it did not, or another was done since.
  std::string trouble() const;

 private:
  class Listener;
  void loop(const std::stop_token& stop);
  void run(const ServeJob& job);
  Status make(const ServeJob& job, Listener& listener, std::stop_token stop);
  Result<std::optional<CheckpointFolder>> find_checkpoint(const ServeJob& job,
                                                          const std::string& path) const;
  Result<GenerationOptions> options_of(const ServeJob& job, const Model& model) const;
  Status check_kept(const CheckpointFolder& kept, const Model& model) const;
  Result<std::optional<SavedState>> newest_state(const ServeJob& job,
                                                 const CheckpointFolder& kept) const;
  std::optional<ServeJob> take(const std::stop_token& stop);
  // Tells the store how it ended, and what is left to do then.
  void end(ServeJob job, Status status);
  Result<bool> store_end(ServeJob* job, const Status& status);
  void failed(const ServeJob* job, std::string_view what, const Status& status) const;
  void changed();
  void pause();

  ModelPool& models_;
  JobStore& store_;
  const GenerateFlags& flags_;
  const std::string folder_;
  const JobLog log_;

  mutable std::mutex mutex_;
  mutable std::condition_variable change_;
  std::string running_;  // id; empty: none
  JobProgress progress_;
  std::stop_source job_stop_;
  bool cancelled_ = false;  // the running job, by a person
  std::string trouble_;
  bool woken_ = false;
  std::string take_failed_;  // why there was no job the last time; empty: nothing failed
  uint64_t version_ = 0;
  std::atomic<double> busy_seconds_{0};
  std::jthread thread_;
};

}  // namespace zoetrope
