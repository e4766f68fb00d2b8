#include "runtime/checkpoint/checkpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "graph/format/output_file.h"
#include "runtime/checkpoint/tensor_file.h"
#include "runtime/engine/devices.h"

namespace zoetrope {
namespace {

constexpr const char* kJobName = "job.json";
constexpr size_t kMaxEntries = 1 << 20;  // of a folder; ours has few

// The place of a state, beside the tensors.
struct StateRecord {
  std::string job, made_on;
  int64_t clip = 0, step = 0, steps = 0, first = 0;
  int64_t predictions = 0;
  nlohmann::json receipt = nlohmann::json::object();
};
template <typename V>
void fields(V& v, StateRecord& s) {
  v.name("job", &s.job);
  v.integer("clip", &s.clip, 1, kMaxClips);
  v.integer("step", &s.step, 0, kMaxSteps);
  v.integer("steps", &s.steps, 1, kMaxSteps);
  v.integer("first", &s.first, 0, kMaxSteps);
  v.integer("predictions", &s.predictions, 0, 16);
  v.optional_name("made_on", &s.made_on);
  v.part("receipt", &s.receipt);
}
struct ValuesRecord {
  std::string job;
  int64_t clip = 0;
};
template <typename V>
void fields(V& v, ValuesRecord& s) {
  v.name("job", &s.job);
  v.integer("clip", &s.clip, 1, kMaxClips);
}

template <typename T>
nlohmann::json json_of(T record) {
  JsonWriter writer;
  fields(writer, record);
  return writer.json;
}

// Reads what a file is about, and whether it is this job's and clip's.
template <typename T>
Status read_about(const nlohmann::json& about, const std::string& job, int64_t clip, T* out) {
  JsonReader reader(about, "description");
  fields(reader, *out);
  ZT_RETURN_IF_ERROR(reader.finish());
  if (out->job != job || out->clip != clip + 1)
    return error(Code::kDataLoss, "it belongs to another run than the folder's ", kJobName);
  return Status();
}

std::string clip_name(int64_t clip) {
  const std::string number = std::to_string(clip + 1);
  return "clip-" + std::string(number.size() < 5 ? 5 - number.size() : 0, '0') + number;
}
std::string values_name(int64_t clip) { return clip_name(clip) + ".values.safetensors"; }
std::string state_name(int64_t clip, int done) {
  const std::string number = std::to_string(done);
  return clip_name(clip) + ".step-" + std::string(5 - number.size(), '0') + number + ".safetensors";
}

// A file of ours by its name; steps −1: values.
struct FileName {
  int64_t clip = 0;
  int done = -1;
};
std::optional<FileName> parse_name(const std::string& name) {
  long long clip = 0, done = 0;
  char end = 0;
  FileName found;
  if (std::sscanf(name.c_str(), "clip-%9lld.step-%6lld.safetensor%c", &clip, &done, &end) == 3)
    found = {clip - 1, static_cast<int>(done)};
  else if (std::sscanf(name.c_str(), "clip-%9lld.values.safetensor%c", &clip, &end) == 2)
    found = {clip - 1, -1};
  else
    return std::nullopt;
  if (clip < 1 || done < 0 || done > kMaxSteps) return std::nullopt;
  const bool own =
      name == (found.done < 0 ? values_name(found.clip) : state_name(found.clip, found.done));
  return own ? std::optional(found) : std::nullopt;
}

Result<std::vector<std::string>> names_in(const std::string& path) {
  DIR* folder = ::opendir(path.c_str());
  if (folder == nullptr) return open_error(errno, "cannot open the checkpoint", path);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(folder)) {
    names.emplace_back(entry->d_name);
    if (names.size() > kMaxEntries) break;
  }
  ::closedir(folder);
  if (names.size() <= kMaxEntries) return names;
  return error(Code::kDataLoss, path, " holds more than ", kMaxEntries,
               " files; that is no checkpoint");
}

Status remove_file(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return Status();
  return io_error(errno, "cannot remove", path);
}

Status append_floats(const TensorView& t, std::vector<float>* out) {
  if (t.type.dtype != DType::kF32)
    return error(Code::kDataLoss, "'", t.name, "' is ", t.type.to_string(), "; expected f32");
  const size_t at = out->size();
  out->resize(at + t.bytes.size() / sizeof(float));
  if (!t.bytes.empty()) std::memcpy(out->data() + at, t.bytes.data(), t.bytes.size());
  return Status();
}

constexpr std::string_view kStateKind = "denoising", kValuesKind = "values";
constexpr std::string_view kLatents = "latents.", kPrediction = "prediction.", kSample = "sample";

// Tensors in the one order in which save() writes them.
Status read_state_tensors(const TensorFile& file, int64_t predictions, DenoiseState* state) {
  int64_t next = 0;
  bool sample = false;
  for (const TensorView& t : file.tensors) {
    if (t.name.starts_with(kLatents) && next == 0 && !sample) {
      ZT_RETURN_IF_ERROR(append_floats(t, &state->latents));
    } else if (t.name == str(kPrediction, next) && next < predictions && !sample) {
      ++next;
      ZT_RETURN_IF_ERROR(append_floats(t, &state->solver.starts.emplace_back()));
    } else if (t.name == kSample && next == predictions && !sample) {
      sample = true;
      ZT_RETURN_IF_ERROR(append_floats(t, &state->solver.before));
    } else {
      return error(Code::kDataLoss, "'", t.name, "' is not what comes next in a state");
    }
  }
  if (next == predictions && sample == (predictions > 0)) return Status();
  return error(Code::kDataLoss, "the state is not whole");
}

// A temporary name of OutputFile whose process is gone.
bool is_stale(const std::string& name) {
  long process = 0;
  return name.ends_with(".tmp") && std::sscanf(name.c_str(), ".zoetrope-%ld-", &process) == 1 &&
         process > 0 && process <= INT_MAX && ::kill(static_cast<pid_t>(process), 0) != 0 &&
         errno == ESRCH;
}

std::string devices_of(const RequestPlan& plan) {
  std::set<std::string> names;
  for (const Job& job : plan.jobs) names.insert(job.device->spec());
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.substr(0, kMaxName);
}

}  // namespace

std::vector<int> steps_to_keep(const std::vector<int>& saved, int steps, int keep) {
  int stride = 1;
  while (steps / stride + 1 > std::max(keep - kFewestKept, 1)) stride *= 2;
  std::vector<int> kept;
  for (size_t i = 0; i < saved.size(); ++i)
    if (i + kFewestKept >= saved.size() || (keep > kFewestKept && saved[i] % stride == 0))
      kept.push_back(saved[i]);
  return kept;
}

CheckpointFolder::CheckpointFolder(CheckpointFolder&& other) noexcept
    : path_(std::move(other.path_)),
      lock_(std::exchange(other.lock_, -1)),
      job_(std::move(other.job_)),
      id_(std::move(other.id_)),
      values_of_(other.values_of_) {}

CheckpointFolder& CheckpointFolder::operator=(CheckpointFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_, other.lock_);
  std::swap(job_, other.job_);
  std::swap(id_, other.id_);
  std::swap(values_of_, other.values_of_);
  return *this;
}

CheckpointFolder::~CheckpointFolder() {
  if (lock_ >= 0) ::close(lock_);
}

// The lock goes with the process, however it ends.
Status CheckpointFolder::take() {
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) return io_error(errno, "cannot open the checkpoint", path_);
  if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) return Status();
  if (errno == EWOULDBLOCK)
    return error(Code::kUnavailable, "another process writes to the checkpoint ", path_,
                 "; wait for it, or stop it");
  return io_error(errno, "cannot lock the checkpoint", path_);
}

// What a process that was killed had not renamed.
Status CheckpointFolder::remove_stale() const {
  ZT_ASSIGN_OR_RETURN(const auto names, names_in(path_));
  for (const std::string& name : names)
    if (is_stale(name) && check_regular(file(name)).ok())
      ZT_RETURN_IF_ERROR(remove_file(file(name)));
  return Status();
}

Result<CheckpointFolder> CheckpointFolder::create(const std::string& path, CheckpointJob job) {
  CheckpointFolder folder;
  folder.path_ = path;
  if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST)
    return io_error(errno, "cannot create the checkpoint", path);
  ZT_RETURN_IF_ERROR(folder.take());
  const Status there = check_regular(folder.file(kJobName));
  if (there.ok()) {
    const Status read = folder.read_job();
    if (!read.ok())
      return read.with_context(str(path, " cannot be taken for a checkpoint: what it holds"));
    if (!folder.is_finished())
      return error(Code::kInvalidArgument, path, " holds a run that is not done (",
                   folder.job_.finished, " of ", folder.job_.clips.size(),
                   " clips): go on with `zoetrope resume ", path,
                   "`, or remove the folder, or give another");
  } else if (there.code() != Code::kNotFound) {
    return there;
  } else {
    ZT_ASSIGN_OR_RETURN(const auto names, names_in(path));
    for (const std::string& name : names)
      if (name != "." && name != ".." && !is_stale(name))
        return error(Code::kInvalidArgument, path, " is no checkpoint and holds other files (",
                     name, "); give --checkpoint a folder of its own");
  }
  ZT_RETURN_IF_ERROR(folder.remove_stale());
  ZT_RETURN_IF_ERROR(folder.remove_clips_but(-1));
  folder.job_ = std::move(job);
  folder.id_ = checkpoint_id(folder.job_);
  ZT_RETURN_IF_ERROR(write_checkpoint_job(folder.file(kJobName), folder.job_));
  return folder;
}

Result<CheckpointFolder> CheckpointFolder::open(const std::string& path, bool writes) {
  CheckpointFolder folder;
  folder.path_ = path;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return open_error(errno, "cannot open the checkpoint", path);
  if (!S_ISDIR(info.st_mode))
    return error(Code::kInvalidArgument, path,
                 " is no folder; give the one that --checkpoint was given");
  if (check_regular(folder.file(kJobName)).code() == Code::kNotFound)
    return error(Code::kNotFound, path, " is no checkpoint: it has no ", kJobName);
  if (writes) ZT_RETURN_IF_ERROR(folder.take());
  ZT_RETURN_IF_ERROR(folder.read_job());
  if (writes) ZT_RETURN_IF_ERROR(folder.remove_stale());
  return folder;
}

Status CheckpointFolder::read_job() {
  ZT_ASSIGN_OR_RETURN(job_, read_checkpoint_job(file(kJobName)));
  id_ = checkpoint_id(job_);
  return Status();
}

Result<std::vector<int>> CheckpointFolder::steps(int64_t clip) const {
  ZT_ASSIGN_OR_RETURN(const auto names, names_in(path_));
  std::vector<int> steps;
  for (const std::string& name : names)
    if (const auto found = parse_name(name); found && found->clip == clip && found->done >= 0)
      steps.push_back(found->done);
  std::sort(steps.begin(), steps.end());
  return steps;
}

int64_t CheckpointFolder::clip_in_work() const {
  return std::min(job_.finished, static_cast<int64_t>(job_.clips.size()) - 1);
}

Result<SavedState> CheckpointFolder::load(int64_t clip, int done) const {
  const std::string path = file(state_name(clip, done));
  ZT_ASSIGN_OR_RETURN(const TensorFile saved, read_tensor_file(path, kStateKind));
  StateRecord record;
  if (const Status s = read_about(saved.about, id_, clip, &record); !s.ok())
    return s.with_context(path);
  SavedState out;
  out.point = std::make_shared<ResumePoint>();
  DenoiseState& state = out.point->state;
  state.step = static_cast<int>(record.step);
  state.steps = static_cast<int>(record.steps);
  state.first = static_cast<int>(record.first);
  if (state.step - state.first != done)
    return error(Code::kDataLoss, path, " is the state after ", state.step - state.first,
                 " steps, not after ", done);
  if (const Status s = read_state_tensors(saved, record.predictions, &state); !s.ok())
    return s.with_context(path);
  out.made_on = record.made_on;
  if (!record.receipt.empty()) out.receipt = record.receipt.dump();
  const std::string values_path = file(values_name(clip));
  auto values = read_tensor_file(values_path, kValuesKind);
  if (values.status().code() == Code::kNotFound) return out;
  if (!values.ok()) return values.status();
  ValuesRecord about;
  if (const Status s = read_about(values->about, id_, clip, &about); !s.ok())
    return s.with_context(values_path);
  for (const TensorView& t : values->tensors)
    out.point->values[t.name] = {t.type, {t.bytes.begin(), t.bytes.end()}};
  return out;
}

Status CheckpointFolder::save(int64_t clip, const DenoiseState& state, const StageValues& values,
                              const RequestPlan& plan, const Recipe& recipe,
                              const std::string& receipt) {
  const int done = state.step - state.first, total = state.steps - state.first;
  // The first one always: a clip that branched off in between is no other state's to begin.
  if (values_of_ == clip && done % job_.every != 0 && done != total) return Status();
  if (values_of_ != clip) {  // of a new clip, or of one that goes on
    ZT_RETURN_IF_ERROR(remove_clips_but(clip));
    std::vector<TensorView> tensors;
    for (const auto& [name, value] : values) tensors.push_back({name, value.type, value.bytes});
    ZT_RETURN_IF_ERROR(write_tensor_file(file(values_name(clip)), kValuesKind,
                                         json_of(ValuesRecord{id_, clip + 1}), tensors));
    values_of_ = clip;
  }
  std::vector<TensorView> tensors;
  const std::span<const float> latents(state.latents);
  size_t at = 0;
  for (const Denoise::Stream& stream : plan.denoise.streams) {
    const Shape shape = denoised_shape(plan.denoise, *recipe.find_latents(stream.latents),
                                       plan.shape, plan.samples);
    const auto size = static_cast<size_t>(shape.elements());
    tensors.push_back(
        TensorView::of(str(kLatents, stream.latents), latents.subspan(at, size), shape));
    at += size;
  }
  const Shape flat{static_cast<int64_t>(latents.size())};
  const auto& starts = state.solver.starts;
  for (size_t i = 0; i < starts.size(); ++i)
    tensors.push_back(TensorView::of(str(kPrediction, i), starts[i], flat));
  if (!starts.empty()) tensors.push_back(TensorView::of(str(kSample), state.solver.before, flat));
  StateRecord record{id_,
                     devices_of(plan),
                     clip + 1,
                     state.step,
                     state.steps,
                     state.first,
                     static_cast<int64_t>(starts.size())};
  if (!receipt.empty()) record.receipt = nlohmann::json::parse(receipt, nullptr, false);
  ZT_RETURN_IF_ERROR(
      write_tensor_file(file(state_name(clip, done)), kStateKind, json_of(record), tensors));
  return prune(clip, total);
}

Status CheckpointFolder::prune(int64_t clip, int steps) const {
  ZT_ASSIGN_OR_RETURN(const std::vector<int> saved, this->steps(clip));
  const std::vector<int> kept = steps_to_keep(saved, steps, job_.keep);
  for (const int done : saved)
    if (!std::binary_search(kept.begin(), kept.end(), done))
      ZT_RETURN_IF_ERROR(remove_file(file(state_name(clip, done))));
  return Status();
}

Status CheckpointFolder::remove_clips_but(int64_t clip) const {
  ZT_ASSIGN_OR_RETURN(const auto names, names_in(path_));
  for (const std::string& name : names)
    if (const auto found = parse_name(name); found && found->clip != clip)
      ZT_RETURN_IF_ERROR(remove_file(file(name)));
  return Status();
}

Status CheckpointFolder::finish(int64_t clip) {
  job_.finished = clip + 1;
  return write_checkpoint_job(file(kJobName), job_);
}

Status CheckpointFolder::set_outputs(std::vector<std::string> outputs, std::string format,
                                     std::string receipt) {
  job_.outputs = std::move(outputs);
  job_.format = std::move(format);
  job_.receipt = std::move(receipt);
  return write_checkpoint_job(file(kJobName), job_);
}

}  // namespace zoetrope
