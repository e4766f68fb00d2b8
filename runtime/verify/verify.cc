#include "runtime/verify/verify.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "runtime/verify/receipt.h"

namespace zoetrope {
namespace {

constexpr int64_t kStageSamples = 4096, kValueSamples = 256;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// One device's run, with what looks at it.
class DeviceRun {
 public:
  DeviceRun(const VerifyOptions& options, Device* peer, const RunHooks& hooks)
      : options_(options), peer_(peer), hooks_(hooks), log_(nullptr, kStageSamples, true) {}

  Status run(const std::string& device, Engine& engine, DeviceReport* report) {
    ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine.plan(options_.request, {}, hooks_.stop));
    weights_ =
        options_.request.weights ? options_.request.weights.get() : engine.model().weights.get();
    report->run.device = device;
    report->run.device_name = plan.jobs.front().device->info().name;
    report->run.width = plan.shape.width;
    report->run.height = plan.shape.height;
    log_.begin(plan.shape.width * plan.shape.height * 3, plan.clip.sound_channels);
    RunHooks hooks = hooks_;
    hooks.observe = [this](const Observation& made) { return log_.observe(made); };
    if (options_.judge_nodes) hooks.trace = [this](const Job& job) { return trace_of(job); };
    if (hooks_.progress)
      hooks.progress = [this, device](std::string_view task, double done, double total) {
        return hooks_.progress(str(device, ": ", task), done, total);
      };
    const auto start = std::chrono::steady_clock::now();
    report->status = engine.run(options_.request, log_, hooks).status();
    report->seconds = seconds_since(start);
    if (report->status.code() == Code::kCancelled) return report->status;
    take(report);
    return Status();
  }

 private:
  // One a job, however often it is opened.
  CallTrace* trace_of(const Job& job) {
    auto& trace = traces_[{job.stage, job.key}];
    if (trace != nullptr) return trace.get();
    TraceOptions options;
    options.check.parts = options_.parts;
    options.check.backend = job.device->info().backend;
    options.calls = options_.calls;
    options.peer = peer_;
    options.peer_name = "cpu";
    options.last_run = static_cast<int64_t>(job.calls) - 1;
    options.sketch_samples = kValueSamples;
    trace = std::make_unique<NodeTrace>(job.name, *weights_, options);
    reports_.push_back(
        {job.name, job.component, plan_fingerprint(*job.plan), job.plan->calls.size(), {}});
    in_order_.push_back(trace.get());
    return trace.get();
  }

  void take(DeviceReport* report) {
    report->run.stages = log_.records();
    report->run.frames = log_.frame_count();
    report->run.pixels = log_.pixels();
    report->run.sound = log_.sound();
    for (size_t i = 0; i < reports_.size(); ++i) {
      reports_[i].nodes = in_order_[i]->nodes();
      for (const TracedNode& node : reports_[i].nodes)
        report->findings.insert(report->findings.end(), node.findings.begin(), node.findings.end());
    }
    report->jobs = std::move(reports_);
  }

  const VerifyOptions& options_;
  Device* const peer_;
  const RunHooks& hooks_;
  StageLog log_;
  const WeightSource* weights_ = nullptr;
  std::map<std::pair<size_t, int64_t>, std::unique_ptr<NodeTrace>> traces_;
  std::vector<NodeTrace*> in_order_;
  std::vector<JobReport> reports_;
};

void compare_stages(const RunResult& base, DeviceReport* report) {
  for (const StageRecord& mine : report->run.stages) {
    const auto theirs =
        std::find_if(base.stages.begin(), base.stages.end(), [&](const StageRecord& other) {
          return other.stage == mine.stage && other.name == mine.name;
        });
    if (theirs == base.stages.end() || mine.stage == "frames" || mine.stage == "sound") continue;
    report->stages.push_back(
        {mine.stage, mine.name, mine.step, relative_difference(mine.sketch, theirs->sketch)});
  }
}

// Values by job, run and name: passes may have fused some of them away on one of the devices.
void compare_values(const DeviceReport& base, DeviceReport* report) {
  std::map<std::tuple<std::string, int64_t, std::string>, const Sketch*> known;
  for (const JobReport& job : base.jobs)
    for (const TracedNode& node : job.nodes)
      for (const auto& [name, sketch] : node.values) known[{job.name, node.run, name}] = &sketch;
  for (const JobReport& job : report->jobs)
    for (const TracedNode& node : job.nodes)
      for (const auto& [name, sketch] : node.values) {
        const auto it = known.find({job.name, node.run, name});
        if (it == known.end() || it->second->elements != sketch.elements) continue;
        report->values.push_back(
            {job.name, name, node.run, relative_difference(sketch, *it->second)});
      }
}

void compare_clips(const RunResult& base, double least_psnr, double least_snr,
                   DeviceReport* report) {
  const RunResult& mine = report->run;
  ClipQuality& q = report->quality;
  if (!report->status.ok()) return;
  if (mine.width != base.width || mine.height != base.height ||
      mine.pixels.size() != base.pixels.size() || mine.sound.size() != base.sound.size()) {
    report->clip_ok = false;
    return;
  }
  q.compared = true;
  const auto frame = static_cast<size_t>(mine.width * mine.height * 3);
  if (!mine.pixels.empty()) {
    q.psnr = psnr_u8(mine.pixels, base.pixels);
    double ssim = 0;
    for (int64_t f = 0; f < mine.frames; ++f) {
      const auto a = std::span(mine.pixels).subspan(static_cast<size_t>(f) * frame, frame);
      const auto b = std::span(base.pixels).subspan(static_cast<size_t>(f) * frame, frame);
      q.frame_psnr.push_back(psnr_u8(a, b));
      ssim += ssim_rgb(a, b, mine.height, mine.width);
      if (q.worst_frame < 0 ||
          q.frame_psnr.back() < q.frame_psnr[static_cast<size_t>(q.worst_frame)])
        q.worst_frame = f;
    }
    q.ssim = ssim / static_cast<double>(mine.frames);
  }
  q.has_sound = !mine.sound.empty();
  if (q.has_sound) q.snr = snr(mine.sound, base.sound);
  report->clip_ok = q.psnr >= least_psnr && (!q.has_sound || q.snr >= least_snr);
}

std::string request_text(const Request& r, const ClipShape& shape, int steps) {
  return str(shape.width, "x", shape.height, ", ", shape.frames,
             shape.frames == 1 ? " frame, " : " frames, ", steps,
             steps == 1 ? " step, " : " steps, ", dtype_name(r.compute), ", seed ", r.seed);
}

}  // namespace

const TracedNode* DeviceReport::worst() const {
  const TracedNode* found = nullptr;
  for (const JobReport& job : jobs)
    for (const TracedNode& node : job.nodes)
      if (node.judged && node.error.elements > 0 &&
          (found == nullptr || node.error.ratio > found->error.ratio))
        found = &node;
  return found;
}

int64_t DeviceReport::judged() const {
  int64_t count = 0;
  for (const JobReport& job : jobs)
    for (const TracedNode& node : job.nodes) count += node.judged && node.error.elements > 0;
  return count;
}

bool VerifyReport::ok() const {
  return std::all_of(devices.begin(), devices.end(),
                     [](const DeviceReport& device) { return device.ok(); });
}

Result<VerifyReport> verify_devices(const VerifyOptions& options, const MakeEngine& make_engine,
                                    const RunHooks& hooks) {
  if (options.devices.empty())
    return error(Code::kInvalidArgument, "no device to verify; give at least one");
  VerifyReport report;
  const bool narrow = options.request.compute != DType::kF32;
  report.least_psnr = options.least_psnr >= 0 ? options.least_psnr : narrow ? 25 : 45;
  report.least_snr = options.least_snr >= 0 ? options.least_snr : narrow ? 15 : 40;
  report.judged_by = !options.judge_nodes ? "nothing: values and clips alone are compared"
                     : options.by_cpu     ? "the cpu backend's kernels"
                                          : "the ops' definitions in double";
  report.baseline = options.baseline ? options.baseline_name : options.devices.front();
  std::unique_ptr<Device> peer;
  if (options.by_cpu && options.judge_nodes) {
    ZT_ASSIGN_OR_RETURN(peer, open_device("cpu"));
  }
  for (const std::string& device : options.devices) {
    ZT_ASSIGN_OR_RETURN(const auto engine, make_engine(device));
    DeviceReport one;
    {
      DeviceRun run(options, peer.get(), hooks);
      const Status status = run.run(device, *engine, &one);
      if (!status.ok()) return status.with_context(device);
    }
    if (report.devices.empty()) {
      const auto plan = engine->plan(options.request);
      if (plan.ok())
        report.request = request_text(options.request, plan->shape, plan->denoise.steps);
      report.model = engine->model().name;
    }
    const DeviceReport* first = report.devices.empty() ? nullptr : &report.devices.front();
    const RunResult* base = options.baseline                         ? options.baseline.get()
                            : first != nullptr && first->status.ok() ? &first->run
                                                                     : nullptr;
    if (base != nullptr) {
      compare_stages(*base, &one);
      compare_clips(*base, report.least_psnr, report.least_snr, &one);
    }
    if (first != nullptr) compare_values(*first, &one);
    report.devices.push_back(std::move(one));
  }
  return report;
}

std::vector<std::string> devices_to_verify(const DeviceOptions& options) {
  std::vector<std::string> names = usable_devices(options);
  std::stable_partition(names.begin(), names.end(),
                        [](const std::string& name) { return name.starts_with("cpu"); });
  return names;
}

Status verdict(const VerifyReport& report) {
  for (const DeviceReport& d : report.devices) {
    if (d.ok()) continue;
    if (!d.findings.empty()) {
      const Finding& f = d.findings.front();
      return error(Code::kDiffers, d.run.device, ": ", f.job, ", ", f.node, ", kernel ", f.kernel,
                   ": ", finding_name(f.kind));
    }
    if (!d.status.ok()) {
      const bool refused = d.status.code() == Code::kResourceExhausted;
      return error(refused ? Code::kResourceExhausted : Code::kDiffers, d.run.device, ": ",
                   d.status.message());
    }
    return error(Code::kDiffers, d.run.device, ": the clip is further from ", report.baseline,
                 "'s than is allowed");
  }
  return Status();
}

}  // namespace zoetrope
