#include "runtime/serve/service.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "graph/format/folder_listing.h"
#include "graph/format/output_file.h"
#include "runtime/cli/clip_assembly.h"
#include "runtime/cli/record_flags.h"
#include "runtime/media/png.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kSweep{20};
constexpr int64_t kFileSeconds = 24 * 3600;  // that an uploaded file stays; jobs have their own
constexpr int64_t kMany = 1000;
constexpr int64_t kSprites = 5, kSpritePixels = 320;  // a side of the sheet, and of a frame at most

// What OutputFile calls a file until it is whole.
bool is_unfinished_file(const std::string& name) {
  return name.starts_with(".zoetrope-") && name.ends_with(".tmp");
}

int64_t now() { return static_cast<int64_t>(std::time(nullptr)); }

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

Result<std::unique_ptr<Service>> Service::open(std::unique_ptr<ModelPool> models,
                                               const GenerateFlags& flags, ServiceOptions options) {
  options.uploads.all_bytes = options.disk_bytes / 2;
  options.uploads.owner_bytes = options.disk_bytes / 4;
  std::unique_ptr<Service> s(new Service(std::move(models), flags, std::move(options)));
  const std::string& folder = s->options_.folder;
  ZT_RETURN_IF_ERROR(s->take_folder());
  ZT_ASSIGN_OR_RETURN(s->store_, JobStore::open(folder + "/jobs.sqlite"));
  s->uploads_ = std::make_unique<Uploads>(*s->store_, folder + "/files", s->options_.uploads);
  s->models_->keep_previews(folder + "/previews");
  s->worker_ = std::make_unique<Worker>(
      *s->models_, *s->store_, s->flags_, folder + "/jobs",
      [service = s.get()](const ServeJob* job, std::string_view event, const std::string& message) {
        nlohmann::json line = {{"event", std::string(event)}};
        const bool prompts = service->options_.log_prompts;
        if (job != nullptr) line["id"] = job->id;
        if (job != nullptr && prompts) line["prompt"] = job->prompt;
        if (!message.empty() && (prompts || event != "job notice")) line["message"] = message;
        service->log(std::move(line));
      });
  s->remove_orphans();
  return s;
}

Service::~Service() { stop(); }

Status Service::take_folder() {
  std::error_code failed;
  fs::create_directories(fs::path(options_.folder).parent_path(), failed);
  if (failed) return error(Code::kIoError, "cannot make ", options_.folder, ": ", failed.message());
  ZT_RETURN_IF_ERROR(make_private(options_.folder, /*ours=*/false));
  for (const char* ours : {"/jobs", "/files"})
    ZT_RETURN_IF_ERROR(make_private(options_.folder + ours, /*ours=*/true));
  const std::string path = options_.folder + "/lock";
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return io_error(errno, "cannot write", path);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0)
    return error(Code::kUnavailable, options_.folder,
                 " is in use by another `zoetrope serve`; give this one another --data");
  return Status();
}

// Files of what a crash left half told or half written: the database knows of everything that a
// client does, and nobody else writes here now.
void Service::remove_orphans() {
  std::error_code failed;
  const auto names_in = [&](const char* part) {
    auto names = list_folder(options_.folder + part);
    return names.ok() ? std::move(*names) : std::vector<std::string>();
  };
  for (const std::string& name : names_in("/jobs")) {
    const fs::path path = options_.folder + "/jobs/" + name;
    const auto job = store_->find(name);
    if (job.ok() && !job->has_value()) fs::remove_all(path, failed);
    if (job.ok() && job->has_value() && (*job)->finished > 0)
      fs::remove_all((*job)->state == JobState::kDone ? path / "checkpoint" : path, failed);
  }
  std::vector<fs::path> unfinished;
  fs::recursive_directory_iterator entry(options_.folder + "/jobs", failed);
  for (; entry != fs::recursive_directory_iterator(); entry.increment(failed))
    if (is_unfinished_file(entry->path().filename().string())) unfinished.push_back(entry->path());
  for (const fs::path& path : unfinished) fs::remove(path, failed);
  for (const std::string& name : names_in("/files")) {
    const auto file = store_->find_file(name);
    if (file.ok() && !file->has_value()) fs::remove(options_.folder + "/files/" + name, failed);
  }
}

void Service::start() {
  worker_->start();
  keeper_ = std::jthread([this](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      sweep();
      std::unique_lock lock(sweep_mutex_);
      wake_keeper_.wait_for(lock, stop, kSweep, [] { return false; });
    }
  });
}

void Service::stop() {
  stopping_ = true;
  if (keeper_.joinable()) {
    keeper_.request_stop();
    keeper_.join();
  }
  if (worker_) worker_->stop();
  if (lock_ >= 0) ::close(std::exchange(lock_, -1));
}

std::string without_paths(std::string text, const std::string& folder) {
  const std::string begin = folder + "/";
  const auto in_name = [](char c) {  // names here are ids, keys and what OutputFile makes of them
    return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("_-./", c) != nullptr;
  };
  for (size_t at; (at = text.find(begin)) != std::string::npos;) {
    size_t name = at + begin.size();
    for (size_t i = name; i + 1 < text.size() && in_name(text[i]); ++i)
      if (text[i] == '/' && in_name(text[i + 1])) name = i + 1;
    text.erase(at, name - at);
  }
  return text;
}

Result<std::string> Service::path_of(const GivenMedia& media, const std::string& owner) {
  if (!media.file.empty()) {
    ZT_ASSIGN_OR_RETURN(const GivenFile file, uploads_->find(media.file, owner));
    return uploads_->path_of(file.id);
  }
  ZT_ASSIGN_OR_RETURN(const JobView found, find(media.job, owner));
  if (media.input.empty()) return result(found.job);
  const std::string path =
      is_media_key(media.input) ? worker_->given_of(media.job, media.input) : "";
  std::error_code failed;
  if (path.empty() || !fs::exists(path, failed))
    return error(Code::kNotFound, "the job '", media.job, "' was given no '", media.input, "'");
  return path;
}

Result<PlannedJob> Service::plan(const ClientRequest& request, const std::string& owner,
                                 Refusal* refusal) {
  *refusal = Refusal::kRequest;
  ZT_RETURN_IF_ERROR(check_client_request(request, options_.limits));
  PlannedJob planned;
  ZT_ASSIGN_OR_RETURN(planned.engine, models_->find(request.model));
  MediaPaths paths;
  for (const auto& [key, media] : given_in(request)) {
    auto path = path_of(*media, owner);
    if (!path.ok()) return path.status().with_context(key);
    paths[key] = std::move(*path);
  }
  const Model& model = planned.engine->model();
  ZT_ASSIGN_OR_RETURN(auto adapters, models_->find_adapters(model.name, request.adapters));
  GenerateFlags flags;
  KnownFlags known;
  apply_record(record_of(request, paths, std::move(adapters)), &flags, &known);
  ZT_RETURN_IF_ERROR(flags.finish());
  *refusal = Refusal::kPlan;
  ZT_ASSIGN_OR_RETURN(flags.request.weights, open_adapters(model, flags.adapters));
  const Recipe& recipe = model.recipe;
  auto target = media_target(recipe, known, &flags.request.clip);
  if (!target.ok()) return target.status();
  auto files = read_known_files(known, *target);
  if (!files.ok()) return files.status();
  ZT_RETURN_IF_ERROR(give_known(recipe, known, &*files, &flags.request));
  ZT_ASSIGN_OR_RETURN(planned.plan, planned.engine->plan(flags.request));
  files->frames = planned.plan.shape.frames;
  files->samples = planned.plan.shape.samples;
  NoSink none;
  planned.clip =
      ClipAssembly(*files, flags.request.known, *target, none).format(planned.plan.shape);
  for (const std::string& notice : files->notices)
    planned.notices.push_back(without_paths(notice, options_.folder));
  return planned;
}

// What is given becomes the job's own, under the key's name: files may go, other jobs too.
Status Service::keep_given(ClientRequest* request, const std::string& id,
                           const std::string& owner) {
  for (const auto& [key, media] : given_in(*request)) {
    ZT_ASSIGN_OR_RETURN(const std::string from, path_of(*media, owner));
    const fs::path to = worker_->given_of(id, key);
    std::error_code failed;
    fs::create_directories(to.parent_path(), failed);
    fs::create_hard_link(from, to, failed);
    if (failed) {
      failed.clear();
      fs::copy_file(from, to, failed);
    }
    if (failed) return error(Code::kIoError, "cannot keep '", key, "': ", failed.message());
    *media = {"", id, key};
  }
  return Status();
}

Status Service::make_room(int64_t bytes) {
  if (options_.disk_bytes <= 0) return Status();
  sweep(bytes);
  ZT_ASSIGN_OR_RETURN(const int64_t used, store_->bytes());
  if (used + bytes <= options_.disk_bytes) return Status();
  return error(Code::kResourceExhausted, "files take ", used, " bytes of ", options_.disk_bytes,
               ", and what is given ", bytes, "; remove jobs that are done, or uploads");
}

Result<JobView> Service::submit(ClientRequest request, const std::string& owner, Refusal* refusal,
                                const std::string& remix_of) {
  *refusal = Refusal::kBusy;
  if (stopping_) return error(Code::kUnavailable, "the service is ending; ask again soon");
  ZT_ASSIGN_OR_RETURN(const PlannedJob planned, plan(request, owner, refusal));
  *refusal = Refusal::kDisk;
  ServeJob job;
  job.id = new_id("video_");
  job.owner = owner;
  job.model = planned.engine->model().name;
  job.created = now();
  job.prompt = request.request.prompt;
  job.seed = request.request.seed;
  job.output = planned.clip.width == 0   ? "sound.wav"
               : planned.clip.frames > 1 ? "clip.mp4"
                                         : "picture.png";
  job.width = planned.clip.width;
  job.height = planned.clip.height;
  job.frames = planned.clip.frames;
  job.fps = planned.clip.fps;
  job.estimated_seconds = planned.plan.estimated_seconds();
  job.remix_of = remix_of;
  Status status = keep_given(&request, job.id, owner);
  job.request = store_request(request);
  for (const auto& [key, media] : given_in(request)) {
    std::error_code none;
    const auto bytes = fs::file_size(worker_->given_of(job.id, key), none);
    if (!none) job.bytes += static_cast<int64_t>(bytes);
  }
  if (status.ok()) status = make_room(job.bytes);  // what was given is kept: it may go now
  bool full = false;
  if (status.ok()) status = store_->add(job, options_.queue, options_.queue_of_owner, &full);
  if (full) *refusal = Refusal::kBusy;
  if (!status.ok()) {
    std::error_code failed;
    fs::remove_all(worker_->folder_of(job.id), failed);
    return status;
  }
  worker_->wake();
  return find(job.id, owner);
}

Result<JobView> Service::view(ServeJob job) {
  JobView v{std::move(job), std::nullopt, {}};
  if (v.job.state == JobState::kRunning) v.progress = worker_->progress(v.job.id);
  if (v.job.state == JobState::kQueued) {
    ZT_ASSIGN_OR_RETURN(v.ahead, store_->ahead_of(v.job.id));
  }
  if (v.job.finished > 0 && options_.keep_seconds > 0)
    v.expires = v.job.finished + options_.keep_seconds;
  return v;
}

Result<JobView> Service::find(const std::string& id, const std::string& owner) {
  ZT_ASSIGN_OR_RETURN(auto job, store_->find(id));
  if (!job || job->owner != owner) return error(Code::kNotFound, "there is no job '", id, "'");
  return view(std::move(*job));
}

Result<std::vector<JobView>> Service::list(const std::string& owner, int64_t limit,
                                           const std::string& after, bool newest_first) {
  if (!after.empty()) ZT_RETURN_IF_ERROR(find(after, owner).status());
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
    std::error_code failed;  // what it was given, and a checkpoint where a restart interrupted it
    fs::remove_all(worker_->folder_of(id), failed);
    log({{"event", "job cancelled"}, {"id", id}});
    worker_->wake();
  } else {
    worker_->cancel(id);
  }
  return Status();
}

Status Service::remove(const std::string& id, const std::string& owner) {
  ZT_ASSIGN_OR_RETURN(const JobView found, find(id, owner));
  ZT_RETURN_IF_ERROR(cancel(id, owner));
  return forget(found.job);
}

Status Service::forget(const ServeJob& job) {
  ZT_RETURN_IF_ERROR(store_->remove(job.id));
  std::error_code failed;  // the worker removes what it still writes, when it finds the job gone
  if (!worker_->progress(job.id)) fs::remove_all(worker_->folder_of(job.id), failed);
  log({{"event", "job removed"}, {"id", job.id}});
  worker_->wake();
  return Status();
}

void Service::sweep(int64_t more) {
  const std::lock_guard lock(sweep_mutex_);
  const auto used = store_->bytes();
  int64_t over = options_.disk_bytes > 0 && used.ok() ? *used + more - options_.disk_bytes : 0;
  // Files have a quota of their own: no flood of one owner's takes another's away.
  const auto files = store_->files(kMany);
  for (const GivenFile& file : files.ok() ? *files : std::vector<GivenFile>()) {
    if (file.created + kFileSeconds > now()) break;
    if (uploads_->remove(file).ok()) over -= file.bytes;
  }
  const auto jobs = store_->ended(kMany);
  for (const ServeJob& job : jobs.ok() ? *jobs : std::vector<ServeJob>()) {
    const bool old = options_.keep_seconds > 0 && job.finished + options_.keep_seconds <= now();
    if (!old && over <= 0) break;
    if (forget(job).ok()) over -= job.bytes;
  }
}

Result<std::string> Service::result(const ServeJob& job) const {
  const std::string path = worker_->folder_of(job.id) + "/" + job.output;
  std::error_code failed;
  if (job.state != JobState::kDone || !fs::exists(path, failed))
    return error(Code::kNotFound, "the job is ", job_state_name(job.state), "; it has no result",
                 job.state == JobState::kDone ? " any more" : " yet");
  return path;
}

Result<std::string> Service::thumbnail(const ServeJob& job) const {
  return picture_of(job, "thumbnail.png", 1);
}

Result<std::string> Service::spritesheet(const ServeJob& job) const {
  return picture_of(job, "spritesheet.png", kSprites * kSprites);
}

// At most `most` frames, evenly over the result, in as many columns as rows.
Result<std::string> Service::picture_of(const ServeJob& job, const char* name, int64_t most) const {
  ZT_ASSIGN_OR_RETURN(const std::string clip, result(job));
  const std::string path = worker_->folder_of(job.id) + "/" + name;
  const std::lock_guard lock(pictures_mutex_);  // one decodes at a time
  std::error_code failed;
  if (fs::exists(path, failed)) return path;
  const int64_t count = std::min(most, job.frames), columns = count > 1 ? kSprites : 1;
  const double scale =
      std::min(1.0, static_cast<double>(kSpritePixels) /
                        static_cast<double>(std::max<int64_t>(job.width, job.height)));
  ReadRequest r;
  r.width = std::max<int64_t>(1, std::llround(scale * static_cast<double>(job.width)));
  r.height = std::max<int64_t>(1, std::llround(scale * static_cast<double>(job.height)));
  r.max_frames = job.frames;
  const int64_t row = columns * r.width * 3, rows = (count + columns - 1) / columns;
  std::vector<uint8_t> sheet(static_cast<size_t>(row * rows * r.height));
  int64_t frame = 0, placed = 0;
  const auto read = read_media(clip, r, [&](std::span<const uint8_t> rgb) -> Result<bool> {
    if (frame++ != placed * job.frames / count) return true;
    uint8_t* to = sheet.data() + placed / columns * r.height * row + placed % columns * r.width * 3;
    for (int64_t y = 0; y < r.height; ++y)
      std::copy_n(rgb.data() + y * r.width * 3, r.width * 3, to + y * row);
    return ++placed < count;
  });
  ZT_RETURN_IF_ERROR(read.status());
  const std::vector<uint8_t> png = encode_png(sheet.data(), columns * r.width, rows * r.height);
  ZT_RETURN_IF_ERROR(write_text(path, {reinterpret_cast<const char*>(png.data()), png.size()}));
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
  ZT_ASSIGN_OR_RETURN(const int64_t bytes, store_->bytes());
  const auto number = [&](const char* name, const char* type, auto value) {
    text += str("# TYPE ", name, " ", type, "\n", name, " ", value, "\n");
  };
  number("zoetrope_queue_seconds", "gauge", waiting);
  number("zoetrope_busy_seconds_total", "counter", worker_->busy_seconds());
  number("zoetrope_device_held_bytes", "gauge", models_->held_bytes());
  number("zoetrope_disk_bytes", "gauge", bytes);
  return text;
}

void Service::log(nlohmann::json line) {
  line["time"] = now();
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  const std::lock_guard lock(log_mutex_);
  std::fputs(text.c_str(), stderr);
}

}  // namespace zoetrope
