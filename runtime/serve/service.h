// What the service does, whatever words a client speaks: jobs planned, queued, watched, ended, and
// what they are given. Its HTTP side is server.h. Thread safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/media/clip_writer.h"
#include "runtime/serve/request.h"
#include "runtime/serve/uploads.h"
#include "runtime/serve/worker.h"

namespace zoetrope {

struct ServiceOptions {
  std::string folder;  // of the database and all files
  RequestLimits limits;
  UploadLimits uploads;
  int64_t queue = 100, queue_of_owner = 20;  // jobs that may wait
  int64_t keep_seconds = 0;                  // that ended jobs stay; 0: until somebody removes them
  int64_t disk_bytes = 0;                    // of all files; 0: no limit
  bool log_prompts = false;
};

struct JobView {
  ServeJob job;
  std::optional<JobProgress> progress;  // while it runs
  JobStore::Ahead ahead;                // while it waits
  int64_t expires = 0;                  // seconds since 1970; 0: never, or it has not ended
};

// A request as it would run.
struct PlannedJob {
  std::shared_ptr<Engine> engine;  // first: the plan lives as long as it
  RequestPlan plan;
  ClipFormat clip;  // that comes out, with what was given
  std::vector<std::string> notices;
};

// Whose fault it is that a job was not taken, for answers.
enum class Refusal : uint8_t {
  kRequest,  // it makes no sense, whatever the model
  kPlan,     // this model, device or budget cannot
  kBusy,     // later it may be taken
  kDisk,     // the disk's quota is used up
};

class Service {
 public:
  // Takes the folder for this process. `flags`: as the engines were opened.
  static Result<std::unique_ptr<Service>> open(std::unique_ptr<ModelPool> models,
                                               const GenerateFlags& flags, ServiceOptions options);
  ~Service();

  void start();
  // Accepts nothing more; the running job is kept and goes on at the next start.
  void stop();
  bool stopping() const { return stopping_; }
  // Why no job can be done as things stand; empty: nothing is known to be wrong.
  std::string trouble() const { return worker_->trouble(); }

  ModelPool& models() { return *models_; }
  const ServiceOptions& options() const { return options_; }
  Uploads& uploads() { return *uploads_; }

  Result<PlannedJob> plan(const ClientRequest& request, const std::string& owner, Refusal* refusal);
  // Planned, then queued. `remix_of`: another job's id, or empty.
  Result<JobView> submit(ClientRequest request, const std::string& owner, Refusal* refusal,
                         const std::string& remix_of = "");
  // Of this owner; another's is not found.
  Result<JobView> find(const std::string& id, const std::string& owner);
  Result<std::vector<JobView>> list(const std::string& owner, int64_t limit,
                                    const std::string& after, bool newest_first);
  // A queued job never runs, a running one ends after its step. One that has ended stays as it is.
  Status cancel(const std::string& id, const std::string& owner);
  // Forgets it with its files; one that runs is told to end, and its files go when it has.
  Status remove(const std::string& id, const std::string& owner);
  // The result's path; kNotFound until it is whole.
  Result<std::string> result(const ServeJob& job) const;
  // A picture of the result: its first frame, or frames of all of it in a grid. Made when it is
  // asked for the first time.
  Result<std::string> thumbnail(const ServeJob& job) const;
  Result<std::string> spritesheet(const ServeJob& job) const;
  // Until something changes, or so many milliseconds.
  uint64_t wait_for_change(uint64_t version, int milliseconds) const {
    return worker_->wait_for_change(version, milliseconds);
  }
  // How long until the queue has room, roughly.
  int retry_after_seconds();
  // In Prometheus' text format.
  Result<std::string> metrics();
  // A line of JSON to standard error.
  void log(nlohmann::json line);
  // Ended jobs and given files that have been kept long enough, and the longest ended of those that
  // the quota has no room for, `more` bytes beside them.
  void sweep(int64_t more = 0);

 private:
  Service(std::unique_ptr<ModelPool> models, const GenerateFlags& flags, ServiceOptions options)
      : models_(std::move(models)), flags_(flags), options_(std::move(options)) {}
  Status take_folder();
  void remove_orphans();
  Result<JobView> view(ServeJob job);
  Result<std::string> path_of(const GivenMedia& media, const std::string& owner);
  Status keep_given(ClientRequest* request, const std::string& id, const std::string& owner);
  Result<std::string> picture_of(const ServeJob& job, const char* name, int64_t most) const;
  Status forget(const ServeJob& job);
  // For so many bytes more, within the quota.
  Status make_room(int64_t bytes);

  std::unique_ptr<ModelPool> models_;
  const GenerateFlags flags_;
  const ServiceOptions options_;
  int lock_ = -1;  // of the folder
  std::unique_ptr<JobStore> store_;
  std::unique_ptr<Uploads> uploads_;
  std::unique_ptr<Worker> worker_;
  std::atomic<bool> stopping_{false};
  std::mutex log_mutex_;
  mutable std::mutex pictures_mutex_;
  std::mutex sweep_mutex_;
  std::condition_variable_any wake_keeper_;
  std::jthread keeper_;
};

}  // namespace zoetrope
