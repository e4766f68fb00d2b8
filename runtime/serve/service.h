// What the service does, whatever words a client speaks: jobs planned, queued, watched, ended. Its
// HTTP side is server.h. Thread safe.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/serve/request.h"
#include "runtime/serve/worker.h"

namespace zoetrope {

struct ServiceOptions {
  std::string folder;  // of the database and the jobs' files
  RequestLimits limits;
  int64_t queue = 100, queue_of_owner = 20;  // jobs that may wait
  bool log_prompts = false;
};

struct JobView {
  ServeJob job;
  std::optional<JobProgress> progress;  // while it runs
  JobStore::Ahead ahead;                // while it waits
};

class Service {
 public:
  // Takes the folder for this process. `flags`: as the engine was opened.
  static Result<std::unique_ptr<Service>> open(std::unique_ptr<Engine> engine,
                                               const GenerateFlags& flags, ServiceOptions options);
  ~Service();

  void start() { worker_->start(); }
  // Accepts nothing more; the running job is kept and goes on at the next start.
  void stop();
  bool stopping() const { return stopping_; }

  const Model& model() const { return engine_->model(); }
  const ServiceOptions& options() const { return options_; }

  Result<RequestPlan> plan(const Request& request);
  // Planned, then queued. `full`: the queue has no room, which is another matter than a plan too large.
  Result<ServeJob> submit(const Request& request, const std::string& owner, bool* full);
  // Of this owner; another's is not found.
  Result<JobView> find(const std::string& id, const std::string& owner);
  Result<std::vector<JobView>> list(const std::string& owner, int64_t limit,
                                    const std::string& after, bool newest_first);
  // A queued job never runs, a running one ends after its step. One that has ended stays as it is.
  Status cancel(const std::string& id, const std::string& owner);
  // Ends it if need be, and forgets it with its files.
  Status remove(const std::string& id, const std::string& owner);
  // The result's path; kNotFound until it is whole.
  Result<std::string> result(const ServeJob& job) const;
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

 private:
  Service(std::unique_ptr<Engine> engine, const GenerateFlags& flags, ServiceOptions options)
      : engine_(std::move(engine)), flags_(flags), options_(std::move(options)) {}
  Status take_folder();
  Result<JobView> view(ServeJob job);

  std::unique_ptr<Engine> engine_;
  const GenerateFlags flags_;
  const ServiceOptions options_;
  int lock_ = -1;  // of the folder
  std::unique_ptr<JobStore> store_;
  std::unique_ptr<Worker> worker_;
  std::atomic<bool> stopping_{false};
  std::mutex log_mutex_;
};

}  // namespace zoetrope
