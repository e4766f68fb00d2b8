#include "runtime/serve/worker.h"

#include <chrono>
#include <filesystem>

#include "runtime/cli/checkpoint_flags.h"
#include "runtime/cli/record_flags.h"
#include "runtime/serve/request.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

constexpr int kPollMilliseconds = 1000;   // in case that a wake is missed, as after an error
constexpr double kPreviewSeconds = 0.25;  // from one to the next, at least
constexpr int64_t kPreviewFrames = 4;

// Of a job that is done, whose checkpoint goes.
int64_t bytes_in(const std::string& folder) {
  int64_t bytes = 0;
  std::error_code failed;
  fs::recursive_directory_iterator entry(folder, failed);
  for (; entry != fs::recursive_directory_iterator(); entry.increment(failed)) {
    if (entry->path().filename() == "checkpoint") entry.disable_recursion_pending();
    if (entry->is_regular_file(failed)) bytes += static_cast<int64_t>(entry->file_size(failed));
  }
  return bytes;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

// Turns what a run says into the job's progress.
class Worker::Listener : public GenerationListener {
 public:
  Listener(Worker& worker, const ServeJob& job, std::stop_token stop)
      : worker_(worker), job_(job), stop_(std::move(stop)) {}

  void use(Engine* engine) { engine_ = engine; }
  Status expect(const RequestPlan& plan) override {
    worker_.models_.make_room(*engine_, plan.peak_bytes());
    const auto preview = worker_.models_.preview(*engine_, stop_);
    if (preview.status().code() == Code::kCancelled) return preview.status();
    if (preview.ok())
      preview_ = *preview;
    else if (preview.status().code() != Code::kUnsupported)
      worker_.failed(&job_, "fitting previews failed; there are none", preview.status());
    const std::vector<ExpectedTask> tasks = expected_tasks(plan);
    begun_ = std::chrono::steady_clock::now();
    remaining_ = RemainingTime(tasks);
    known_ = !tasks.empty();
    return Status();
  }
  bool progress(std::string_view task, double done, double total) override {
    const double now = seconds_since(begun_);
    remaining_.update(task, total > 0 ? done / total : 0, now);
    const double left = known_ ? remaining_.left(now) : -1;
    {
      const std::lock_guard lock(worker_.mutex_);
      JobProgress& p = worker_.progress_;
      p.task = task;
      p.done = done;
      p.total = total;
      p.seconds_left = left;
      p.fraction = left >= 0 && now + left > 0 ? now / (now + left) : 0;
    }
    worker_.changed();
    return !stop_.stop_requested();
  }
  // Given files are told by their keys: where they lie is nobody's business.
  void notice(const std::string& text) override {
    worker_.log_(&job_, "job notice", text);
    const std::lock_guard lock(worker_.mutex_);
    worker_.progress_.notices.push_back(without_paths(text, worker_.folder_));
  }
  bool previews() const override { return preview_ != nullptr; }
  void denoised(const RequestPlan& plan, std::span<const float> latents, int step) override {
    const double now = seconds_since(begun_);
    if (now < next_preview_ && step < plan.denoise.steps) return;
    next_preview_ = now + kPreviewSeconds;
    auto frames =
        std::make_shared<const PreviewFrames>(preview_->draw(plan, latents, kPreviewFrames));
    const std::lock_guard lock(worker_.mutex_);
    worker_.progress_.preview = std::move(frames);
    worker_.progress_.preview_step = step;
  }

 private:
  Worker& worker_;
  const ServeJob& job_;
  const std::stop_token stop_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  RemainingTime remaining_{{}};
  bool known_ = false;
  Engine* engine_ = nullptr;
  std::shared_ptr<const Preview> preview_;
  double next_preview_ = 0;
};

Worker::Worker(ModelPool& models, JobStore& store, const GenerateFlags& flags, std::string folder,
               JobLog log)
    : models_(models),
      store_(store),
      flags_(flags),
      folder_(std::move(folder)),
      log_(std::move(log)) {}

void Worker::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { loop(stop); });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  {
    const std::lock_guard lock(mutex_);
    job_stop_.request_stop();
  }
  wake();
  thread_.join();
}

void Worker::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed();
}

void Worker::changed() {
  {
    const std::lock_guard lock(mutex_);
    ++version_;
  }
  change_.notify_all();
}

bool Worker::cancel(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (running_ != id || id.empty()) return false;
  cancelled_ = true;
  job_stop_.request_stop();
  return true;
}

std::optional<JobProgress> Worker::progress(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  if (running_ != id || id.empty()) return std::nullopt;
  JobProgress p = progress_;
  p.version = version_;
  return p;
}

uint64_t Worker::wait_for_change(uint64_t version, int milliseconds) const {
  std::unique_lock lock(mutex_);
  change_.wait_for(lock, std::chrono::milliseconds(milliseconds),
                   [&] { return version_ != version; });
  return version_;
}

void Worker::failed(const ServeJob* job, std::string_view what, const Status& status) const {
  if (!status.ok()) log_(job, what, status.message());
}

// Taking and being known as running are one: who wants to cancel it finds it queued or running.
std::optional<ServeJob> Worker::take(const std::stop_token& stop) {
  const std::lock_guard lock(mutex_);
  auto job = store_.take();
  if (job.status().message() != take_failed_) failed(nullptr, "taking a job failed", job.status());
  take_failed_ = job.status().message();
  if (!job.ok() || !job->has_value()) return std::nullopt;
  running_ = (*job)->id;
  progress_ = JobProgress();
  job_stop_ = std::stop_source();
  cancelled_ = false;
  if (stop.stop_requested()) job_stop_.request_stop();
  return std::move(*job);
}

void Worker::loop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (const auto job = take(stop)) {
      run(*job);
      continue;
    }
    std::unique_lock lock(mutex_);
    change_.wait_for(lock, std::chrono::milliseconds(kPollMilliseconds), [&] { return woken_; });
    woken_ = false;
  }
}

void Worker::run(const ServeJob& job) {
  log_(&job, "job running", "");
  changed();
  std::stop_token stop;
  {
    const std::lock_guard lock(mutex_);
    stop = job_stop_.get_token();
  }
  const auto begun = std::chrono::steady_clock::now();
  Listener listener(*this, job, stop);
  Status status;
  try {
    status = make(job, listener, stop);
  } catch (const std::bad_alloc&) {
    status = error(Code::kResourceExhausted, "out of memory");
  } catch (const std::exception& e) {
    status = error(Code::kInternal, e.what());
  }
  busy_seconds_ = busy_seconds_ + seconds_since(begun);
  while (true) {
    try {
      return end(job, status);
    } catch (const std::exception& e) {  // no memory, most likely: its end is told again
      failed(&job, "ending the job failed", error(Code::kInternal, e.what()));
    }
    pause();
    const std::lock_guard lock(mutex_);
    if (running_.empty() || thread_.get_stop_token().stop_requested()) return;
  }
}

// The checkpoint goes, and of a job that made nothing all, only when the database knows the end:
// until then a restart needs it. An end
// that the store refuses is told again until it is heard, or the process ends.
void Worker::end(ServeJob job, Status status) {
  job.bytes = status.ok() ? bytes_in(folder_of(job.id)) : 0;
  bool told = false;
  std::unique_lock lock(mutex_);  // no cancel comes between the decision and the store
  Result<bool> stored = store_end(&job, status);
  for (; !stored.ok(); stored = store_end(&job, status)) {
    if (!std::exchange(told, true)) failed(&job, "storing the job's end failed", stored.status());
    const auto stop = thread_.get_stop_token();
    change_.wait_for(lock, std::chrono::milliseconds(kPollMilliseconds),
                     [&] { return stop.stop_requested(); });
    if (stop.stop_requested()) return;
  }
  running_.clear();
  lock.unlock();
  changed();
  std::error_code wrong;
  if (!*stored) {
    fs::remove_all(folder_of(job.id), wrong);
    return log_(&job, "job ended, which was removed", "");
  }
  if (job.state == JobState::kQueued) {
    log_(&job, "job interrupted", status.message());
    if (status.code() == Code::kUnavailable) pause();  // what was lost may come back
    return;
  }
  fs::remove_all(folder_of(job.id) + (job.state == JobState::kDone ? "/checkpoint" : ""), wrong);
  if (wrong) failed(&job, "removing what it leaves failed", error(Code::kIoError, wrong.message()));
  log_(&job, str("job ", job_state_name(job.state)), status.message());
}

void Worker::pause() {
  std::unique_lock lock(mutex_);
  const auto stop = thread_.get_stop_token();
  change_.wait_for(lock, std::chrono::milliseconds(kPollMilliseconds),
                   [&] { return stop.stop_requested(); });
}

// Decides how it ended; mutex_ is held. False: it was removed.
Result<bool> Worker::store_end(ServeJob* job, const Status& status) {
  const bool cancelled = status.code() == Code::kCancelled;
  // What was lost is opened anew, and the job goes on from its last step.
  const bool lost = status.code() == Code::kUnavailable;
  if (lost) trouble_ = models_.without_folders(without_paths(status.message(), folder_));
  if (status.ok()) trouble_.clear();
  job->state = status.ok()                             ? JobState::kDone
               : cancelled_                            ? JobState::kCancelled
               : cancelled                             ? JobState::kQueued
               : lost && job->attempts < kMostAttempts ? JobState::kQueued
                                                       : JobState::kFailed;
  if (job->state == JobState::kQueued) return store_.requeue(job->id, /*attempt=*/lost);
  if (job->state == JobState::kFailed) {
    job->error_code = code_name(status.code());
    job->error = models_.without_folders(without_paths(status.message(), folder_));
  }
  job->notices = nlohmann::json(progress_.notices)
                     .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return store_.end(*job);
}

// What is left of a run that was interrupted; one that cannot be read is begun anew.
Result<std::optional<CheckpointFolder>> Worker::find_checkpoint(const ServeJob& job,
                                                                const std::string& path) const {
  std::error_code wrong;
  if (!fs::exists(path + "/job.json", wrong)) return std::optional<CheckpointFolder>();
  auto folder = CheckpointFolder::open(path, /*writes=*/true);
  if (folder.ok()) return std::optional(std::move(*folder));
  if (folder.status().code() != Code::kDataLoss) return folder.status();
  failed(&job, "the job's checkpoint is damaged; it is begun anew", folder.status());
  fs::remove_all(path, wrong);
  return std::optional<CheckpointFolder>();
}

// The newest that can be read; none: the job is begun anew in the folder.
Result<std::optional<SavedState>> Worker::newest_state(const ServeJob& job,
                                                       const CheckpointFolder& kept) const {
  ZT_ASSIGN_OR_RETURN(const std::vector<int> steps, kept.steps(0));
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    auto saved = kept.load(0, *step);
    if (saved.ok()) {
      log_(&job, "job resumed", str("after step ", *step));
      return std::optional(std::move(*saved));
    }
    if (saved.status().code() != Code::kDataLoss) return saved.status();
    failed(&job, "a state of the job is damaged; an older one is taken", saved.status());
  }
  return std::optional<SavedState>();
}

// The job as flags of the command would say it.
Result<GenerationOptions> Worker::options_of(const ServeJob& job, const Model& model) const {
  ZT_ASSIGN_OR_RETURN(const ClientRequest request, read_stored_request(job.request));
  MediaPaths paths;
  for (const auto& [key, media] : given_in(request)) paths[key] = given_of(job.id, key);
  ZT_ASSIGN_OR_RETURN(auto adapters, models_.find_adapters(model.name, request.adapters));
  RequestRecord record = record_of(request, paths, std::move(adapters));
  record.model = {model.path, model.digest};
  record.devices = {flags_.device.device, flags_.place, flags_.device.target,
                    flags_.device.threads};
  GenerationOptions options;
  apply_record(record, &options.generate, &options.known);
  ZT_RETURN_IF_ERROR(options.generate.finish());
  ZT_ASSIGN_OR_RETURN(options.generate.request.weights,
                      open_adapters(model, options.generate.adapters));
  options.outputs = {folder_of(job.id) + "/" + job.output};
  options.quiet = true;
  return options;
}

// A job goes on only with what it was begun with.
Status Worker::check_kept(const CheckpointFolder& kept, const Model& model) const {
  ZT_RETURN_IF_ERROR(check_model_file(kept.job().request, model));
  RequestRecord record = kept.job().request;
  record.media = {};  // copies of the job's own
  return check_files(std::move(record));
}

std::string Worker::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

Status Worker::make(const ServeJob& job, Listener& listener, std::stop_token stop) {
  ModelPool::FileState file;
  ZT_ASSIGN_OR_RETURN(const std::shared_ptr<Engine> engine, models_.find(job.model, &file));
  ZT_ASSIGN_OR_RETURN(GenerationOptions options, options_of(job, engine->model()));
  const std::string folder = folder_of(job.id);
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return error(Code::kIoError, "cannot make the job's folder: ", failed.message());
  options.listener = &listener;
  options.stop = std::move(stop);
  listener.use(engine.get());
  const std::vector<Clip> clips = {{job.prompt, job.seed}};
  Generation generation(options, *engine);
  Continuation from;
  ZT_ASSIGN_OR_RETURN(auto kept, find_checkpoint(job, folder + "/checkpoint"));
  if (kept && kept->is_finished()) return Status();  // only the database did not hear of it
  if (kept) {
    ZT_RETURN_IF_ERROR(check_kept(*kept, engine->model()));
    ZT_ASSIGN_OR_RETURN(auto saved, newest_state(job, *kept));
    if (saved) {
      from.point = std::move(saved->point);
      from.receipt = std::move(saved->receipt);
    }
    generation.keep_states(std::move(*kept), /*moved=*/false);
  } else {
    CheckpointFlags flags;
    flags.folder = folder + "/checkpoint";
    ZT_ASSIGN_OR_RETURN(CheckpointJob own, flags.job(options, clips, engine->model()));
    generation.keep_states(flags.folder, std::move(own));
  }
  const Status status = generation.run(clips, /*seed_drawn=*/false, std::move(from));
  if (status.code() == Code::kUnavailable) models_.reopen(*engine);
  if (status.code() == Code::kCancelled) return status;
  ZT_RETURN_IF_ERROR(ModelPool::check_unchanged(*engine, file));
  return status;
}

}  // namespace zoetrope
