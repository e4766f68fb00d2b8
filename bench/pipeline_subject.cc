#include "bench/pipeline_subject.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "graph/format/output_file.h"
#include "runtime/engine/find_stage.h"
#include "runtime/media/clip_writer.h"

namespace zoetrope::bench {
namespace {

namespace fs = std::filesystem;

// Clips as Y4M, pictures as PNG, in a folder that goes away.
class FileSink : public ClipSink {
 public:
  ~FileSink() override {
    writer_.reset();
    std::error_code ec;
    if (!folder_.empty()) fs::remove_all(folder_, ec);
  }
  Status open(const ClipShape& shape, const ClipSpec& clip, int64_t pictures) {
    std::error_code ec;
    std::string name = (fs::temp_directory_path(ec) / "zoetrope-bench-XXXXXX").string();
    if (ec || mkdtemp(name.data()) == nullptr) return io_error(errno, "cannot make a folder", name);
    folder_ = name;
    ClipFormat format;
    format.width = shape.width, format.height = shape.height, format.fps = clip.fps;
    format.frames = std::max<int64_t>(shape.frames, pictures);
    const bool stills = clip.frames.max == 1;
    const fs::path path = folder_ / (stills ? "picture-%d.png" : "clip.y4m");
    ZT_ASSIGN_OR_RETURN(writer_, create_clip_writer(path.string(), format));
    return Status();
  }
  Status frames(const uint8_t* pixels, int64_t count) override {
    return writer_->frames(pixels, count);
  }
  Status audio(const float*, int64_t) override { return Status(); }  // neither format has sound
  Status finish() { return writer_->finish(); }

 private:
  fs::path folder_;
  std::unique_ptr<ClipWriter> writer_;
};

// How long each task took, as progress tells of them.
class Timeline {
 public:
  Timeline() : at_(now_seconds()) {}
  void hear(std::string_view task, double done) {
    const double now = now_seconds();
    // What lies before the first news of a task is the last one's, unless it is news of an end.
    std::string& owner = done > 0 || task_.empty() ? (task_ = task) : task_;
    seconds_[owner] += now - at_;
    if (std::find(order_.begin(), order_.end(), owner) == order_.end()) order_.push_back(owner);
    task_ = task;
    at_ = now;
  }
  void end() {
    if (!task_.empty()) seconds_[task_] += now_seconds() - at_;
  }
  const std::vector<std::string>& order() const { return order_; }
  double seconds(const std::string& task) const { return seconds_.at(task); }

 private:
  double at_;
  std::string task_;
  std::map<std::string, double> seconds_;
  std::vector<std::string> order_;
};

}  // namespace

Result<std::unique_ptr<Subject>> PipelineSubject::create(BenchDevice* device, const PipelineCase& c,
                                                         DType compute) {
  std::unique_ptr<PipelineSubject> subject(new PipelineSubject(c));
  subject->device = device;
  subject->row.kind = "pipeline";
  subject->row.program = "zoetrope";
  subject->row.device = device->id;
  subject->row.dtype = dtype_name(compute);
  ZT_RETURN_IF_ERROR(subject->make_request(compute));
  return std::unique_ptr<Subject>(std::move(subject));
}

Status PipelineSubject::make_request(DType compute) {
  EngineOptions options;
  options.placement.device = device->spec;
  options.devices = case_.devices;
  ZT_ASSIGN_OR_RETURN(engine_, Engine::open(case_.path, std::move(options)));
  const Recipe& recipe = engine_->model().recipe;
  request_.compute = compute;
  request_.clip = case_.clip;
  request_.steps = case_.steps;
  request_.memory_budget = case_.budget;
  const bool reads_text = recipe.reads_text();
  const auto* const label = find_stage<ClassLabel>(recipe);
  if (label != nullptr)
    for (int64_t i = 0; i < case_.count; ++i)
      request_.classes.push_back(str(i * 119 % label->classes));
  if (!case_.prompt.empty() && !reads_text)
    return error(Code::kInvalidArgument, case_.path, " reads no text: leave the prompt out");
  if (case_.count > 1 && label == nullptr)
    return error(Code::kInvalidArgument, case_.path,
                 " makes one clip a request: a count is for models of classes");
  if (reads_text)
    request_.prompt =
        case_.prompt.empty() ? "a small red star bounces on a blue floor" : case_.prompt;
  if (case_.smallest) {
    const auto least = [](int64_t* asked, const Range& range) {
      if (*asked == 0) *asked = nearest_in_range(range, range.min);
    };
    least(&request_.clip.width, recipe.clip.width);
    least(&request_.clip.height, recipe.clip.height);
    if (request_.clip.seconds == 0) least(&request_.clip.frames, recipe.clip.frames);
    if (request_.steps == 0) request_.steps = 2;
  }
  int steps = request_.steps;
  if (const Denoise* denoise = recipe.denoise(); denoise != nullptr && steps == 0)
    steps = denoise->steps;
  ZT_ASSIGN_OR_RETURN(shape_, resolve_clip_shape(recipe, request_.clip));
  base_ =
      engine_->model().name.empty() ? fs::path(case_.path).stem().string() : engine_->model().name;
  if (request_.classes.size() > 1) base_ += str(" ", request_.classes.size(), " pictures of");
  base_ += str(" ", shape_.width, "x", shape_.height);
  if (shape_.frames > 1) base_ += str("x", shape_.frames);
  row.name = str(base_, ": whole, ", steps, " steps");
  return Status();
}

Status PipelineSubject::plan() {
  if (steps_ > 0) return Status();
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine_->plan(request_));
  steps_ = plan.denoise.steps;
  estimated_ = plan.estimated_seconds();
  row.planned_bytes = plan.peak_bytes();
  row.flops = 0;
  for (const Job& job : plan.jobs)
    for (const Rate rate : {Rate::kTimestep, Rate::kStep})
      row.flops += job.calls * job.plan->phase_cost[static_cast<size_t>(rate)].flops;
  row.phases.clear();
  return Status();
}

Result<int64_t> PipelineSubject::bytes() {
  if (engine_ == nullptr) {
    ZT_ASSIGN_OR_RETURN(const DType compute, parse_dtype(row.dtype));
    request_ = {};
    ZT_RETURN_IF_ERROR(make_request(compute));
  }
  ZT_RETURN_IF_ERROR(plan());
  return row.planned_bytes;
}

Status PipelineSubject::prepare() {
  ZT_RETURN_IF_ERROR(bytes().status());
  warm_ = false;
  first_step_.clear(), step_.clear(), decode_.clear(), phases_.clear(), order_.clear();
  return Status();
}

Result<double> PipelineSubject::sample() {
  FileSink sink;
  Timeline timeline;
  RunHooks hooks;
  hooks.progress = [&](std::string_view task, double done, double) {
    timeline.hear(task, done);
    return !case_.stop || !case_.stop();
  };
  request_.seed += 1;
  const double begin = now_seconds();
  ZT_RETURN_IF_ERROR(sink.open(shape_, engine_->model().recipe.clip,
                               static_cast<int64_t>(request_.classes.size())));
  ZT_ASSIGN_OR_RETURN(const RunStats stats, engine_->run(request_, sink, hooks));
  ZT_RETURN_IF_ERROR(sink.finish());
  timeline.end();
  const double seconds = now_seconds() - begin;
  row.held_bytes = std::max(row.held_bytes, stats.peak_bytes);
  if (!warm_) {  // loads
    warm_ = true;
    load_ = stats.load_seconds;
    return seconds;
  }
  first_step_.push_back(stats.first_step_seconds);
  step_.push_back(stats.denoise_seconds / std::max(1, steps_));
  decode_.push_back(stats.decode_seconds);
  for (const std::string& task : timeline.order()) {
    if (!phases_.contains(task)) order_.push_back(task);
    phases_[task].push_back(timeline.seconds(task));
  }
  return seconds;
}

Row PipelineSubject::part(const std::string& name, const std::vector<double>& seconds) const {
  Row r = row;
  r.name = str(base_, ": ", name);
  r.phases.clear();
  r.flops = r.bytes = r.of_roof = 0;
  r.roof.clear();
  r.seconds = spread_of(seconds);
  return r;
}

Status PipelineSubject::finish(std::vector<Row>* more) {
  row.phases.clear();
  for (const std::string& task : order_)
    row.phases.push_back({task, spread_of(phases_[task]).median, 1});
  if (load_ > 0) more->push_back(part("load, the first time", {load_}));
  more->push_back(part("to the first step", first_step_));
  more->push_back(part("a step", step_));
  more->push_back(part("decode and write", decode_));
  return Status();
}

void PipelineSubject::release() {
  engine_.reset();
  steps_ = 0;
}

}  // namespace zoetrope::bench
