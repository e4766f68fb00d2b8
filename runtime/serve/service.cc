#include "runtime/serve/service.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <random>

#include "graph/format/output_file.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

constexpr int kWaitMilliseconds = 1000;

// 128 bits: nobody guesses another's.
std::string new_id() {
  std::random_device device;
  std::string id = "video_";
  for (int i = 0; i < 4; ++i) {
    char part[9];
    std::snprintf(part, sizeof(part), "%08x", device());
    id += part;
  }
  return id;
}

// Prompts and clips are private. A folder that is there already keeps what its owner gave it,
// unless it is one of `ours`.
Status make_private(const std::string& path, bool ours) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return io_error(errno, "cannot make", path);
  if (ours && ::chmod(path.c_str(), 0700) != 0)
    return io_error(errno, "cannot keep others from", path);
  return Status();
}

}  // namespace

Result<std::unique_ptr<Service>> Service::open(std::unique_ptr<Engine> engine,
                                               const GenerateFlags& flags, ServiceOptions options) {
  std::unique_ptr<Service> s(new Service(std::move(engine), flags, std::move(options)));
  ZT_RETURN_IF_ERROR(s->take_folder());
  ZT_ASSIGN_OR_RETURN(s->store_, JobStore::open(s->options_.folder + "/jobs.sqlite"));
  s->worker_ = std::make_unique<Worker>(
      *s->engine_, *s->store_, s->flags_, s->options_.folder + "/jobs",
      [service = s.get()](const ServeJob* job, std::string_view event, const std::string& message) {
        nlohmann::json line = {{"event", std::string(event)}};
        const bool prompts = service->options_.log_prompts;
        if (job != nullptr) line["id"] = job->id;
        if (job != nullptr && prompts) line["prompt"] = job->prompt;
        if (!message.empty() && (prompts || event != "job notice")) line["message"] = message;
        service->log(std::move(line));
      });
  return s;
}

Service::~Service() {
  if (worker_) worker_->stop();
  if (lock_ >= 0) ::close(lock_);
}

Status Service::take_folder() {
  std::error_code failed;
  fs::create_directories(fs::path(options_.folder).parent_path(), failed);
  if (failed) return error(Code::kIoError, "cannot make ", options_.folder, ": ", failed.message());
  ZT_RETURN_IF_ERROR(make_private(options_.folder, /*ours=*/false));
  ZT_RETURN_IF_ERROR(make_private(options_.folder + "/jobs", /*ours=*/true));
  const std::string path = options_.folder + "/lock";
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return io_error(errno, "cannot write", path);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0)
    return error(Code::kUnavailable, options_.folder,
                 " is in use by another `zoetrope serve`; give this one another --data");
  return Status();
}

void Service::stop() {
  stopping_ = true;
  worker_->stop();
}

Result<RequestPlan> Service::plan(const Request& request) { return engine_->plan(request); }

Result<ServeJob> Service::submit(const Request& request, const std::string& owner, bool* full) {
  *full = false;
  if (stopping_) return error(Code::kUnavailable, "the service is ending; ask again soon");
  ZT_ASSIGN_OR_RETURN(const RequestPlan planned, plan(request));
  ServeJob job;
  job.id = new_id();
  job.owner = owner;
  job.created = static_cast<int64_t>(std::time(nullptr));
  job.request = store_request(request);
  job.prompt = request.prompt;
  job.seed = request.seed;
  job.output = planned.shape.frames > 1 ? "clip.mp4" : "picture.png";
  job.width = planned.shape.width;
  job.height = planned.shape.height;
  job.frames = planned.shape.frames;
  job.fps = planned.clip.fps;
  job.estimated_seconds = planned.estimated_seconds();
  ZT_RETURN_IF_ERROR(store_->add(job, options_.queue, options_.queue_of_owner, full));
  worker_->wake();
  return job;
}

Result<JobView> Service::view(ServeJob job) {
  JobView v{std::move(job), std::nullopt, {}};
  if (v.job.state == JobState::kRunning) v.progress = worker_->progress(v.job.id);
  if (v.job.state == JobState::kQueued) {
    ZT_ASSIGN_OR_RETURN(v.ahead, store_->ahead_of(v.job.id));
  }
  return v;
}

Result<JobView> Service::find(const std::string& id, const std::string& owner) {
  ZT_ASSIGN_OR_RETURN(auto job, store_->find(id));
  if (!job || job->owner != owner) return error(Code::kNotFound, "there is no job '", id, "'");
  return view(std::move(*job));
}

Result<std::vector<JobView>> Service::list(const std::string& owner, int64_t limit,
                                           const std::string& after, bool newest_first) {
  ZT_ASSIGN_OR_RETURN(std::vector<ServeJob> jobs, store_->list(owner, limit, after, newest_first));
  std::vector<JobView> views;
  for (ServeJob& job : jobs) {
    ZT_ASSIGN_OR_RETURN(views.emplace_back(), view(std::move(job)));
  }
  return views;
}

Status Service::cancel(const std::string& id, const std::string& owner) {
  ZT_ASSIGN_OR_RETURN(const JobView found, find(id, owner));
  ZT_ASSIGN_OR_RETURN(const bool was_queued, store_->cancel_queued(id));
  if (was_queued) {
    std::error_code failed;
    fs::remove_all(worker_->folder_of(id), failed);  // of a job that a restart had interrupted
    log({{"event", "job cancelled"}, {"id", id}});
    worker_->wake();
  } else {
    worker_->cancel(id);
  }
  return Status();
}

Status Service::remove(const std::string& id, const std::string& owner) {
  ZT_RETURN_IF_ERROR(cancel(id, owner));
  while (const auto running = worker_->progress(id))  // until its step has ended
    worker_->wait_for_change(running->version, kWaitMilliseconds);
  ZT_RETURN_IF_ERROR(store_->remove(id));
  std::error_code failed;
  fs::remove_all(worker_->folder_of(id), failed);
  log({{"event", "job removed"}, {"id", id}});
  worker_->wake();
  return Status();
}

Result<std::string> Service::result(const ServeJob& job) const {
  const std::string path = worker_->folder_of(job.id) + "/" + job.output;
  std::error_code failed;
  if (job.state != JobState::kDone || !fs::exists(path, failed))
    return error(Code::kNotFound, "the job is ", job_state_name(job.state), "; it has no result",
                 job.state == JobState::kDone ? " any more" : " yet");
  return path;
}

int Service::retry_after_seconds() {
  const auto waiting = store_->waiting_seconds();
  const double jobs = std::max<double>(1, static_cast<double>(options_.queue));
  return static_cast<int>(std::clamp(waiting.ok() ? *waiting / jobs : 0.0, 1.0, 3600.0));
}

Result<std::string> Service::metrics() {
  std::string text = "# TYPE zoetrope_jobs gauge\n";
  for (size_t i = 0; i < std::size(kJobStates); ++i) {
    ZT_ASSIGN_OR_RETURN(const int64_t count, store_->count(static_cast<JobState>(i)));
    text += str("zoetrope_jobs{state=\"", kJobStates[i], "\"} ", count, "\n");
  }
  ZT_ASSIGN_OR_RETURN(const double waiting, store_->waiting_seconds());
  text += str("# TYPE zoetrope_queue_seconds gauge\nzoetrope_queue_seconds ", waiting,
              "\n# TYPE zoetrope_busy_seconds_total counter\nzoetrope_busy_seconds_total ",
              worker_->busy_seconds(),
              "\n# TYPE zoetrope_device_held_bytes gauge\nzoetrope_device_held_bytes ",
              engine_->held_bytes(), "\n");
  return text;
}

void Service::log(nlohmann::json line) {
  line["time"] = static_cast<int64_t>(std::time(nullptr));
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  const std::lock_guard lock(log_mutex_);
  std::fputs(text.c_str(), stderr);
}

}  // namespace zoetrope
