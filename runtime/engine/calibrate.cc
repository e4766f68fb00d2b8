#include "runtime/engine/calibrate.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "graph/format/hash.h"
#include "graph/format/model_file.h"
#include "graph/host.h"
#include "runtime/backend/cache_file.h"
#include "runtime/plan/estimate.h"
#include "runtime/plan/measure.h"

namespace zoetrope {
namespace {

constexpr size_t kMostBytes = 16 << 20;  // of a file of times
constexpr double kFarthest = 16;         // powers of two: an op of which nothing is known
constexpr int64_t kCopied = 64 << 20;    // bytes, to measure copies with
constexpr int64_t kMade = 40 << 20;      // bytes, to measure what weights take to generate
constexpr double kForKernels = 0.75;     // of the time; the rest is for whole phases
constexpr double kExact = 0.9;           // of a phase's time that must be of measured kernels

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Bytes a second and thread of generated weights, in memory that was not touched yet.
double make_rate() {
  const TensorType type{DType::kBF16, {kMade / 2}};
  const int threads = usable_threads();
  const double begin = now();
  const auto bytes = std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(type.bytes()));
  generate_synthetic({.seed = 1}, type, bytes.get(), threads);
  return static_cast<double>(kMade) / std::max(now() - begin, 1e-9) /
         synthetic_threads(type, threads);
}

// What times are true for. Names of devices hold their driver's version, and of the host its
// threads.
std::string identity_of(const DeviceInfo& info) {
  std::string text = str(ZOETROPE_VERSION, "\n", info.backend, "\n", info.name);
  for (const std::string& feature : info.features) text += "\n" + feature;
  return text;
}

std::string path_of(const DeviceInfo& info) {
  const std::string identity = identity_of(info);
  char digits[20];
  std::snprintf(digits, sizeof(digits), "%016llx",
                static_cast<unsigned long long>(hash_bytes(
                    {reinterpret_cast<const uint8_t*>(identity.data()), identity.size()})));
  return cache_path(str("times/", info.backend, "-", digits));
}

// A kernel of the work, once.
struct Candidate {
  const Plan* plan = nullptr;
  size_t call = 0;  // of the plan's
  KernelPoint point;
  double calls = 0;     // over all plans, each plan's seconds counting as 1
  double distance = 0;  // to what is known
  bool done = false;    // measured now, or cannot be
};

class Calibrator {
 public:
  Calibrator(Device& device, DeviceTimes times, std::set<std::string>* used,
             const CalibrationOptions& options)
      : device_(device), times_(std::move(times)), options_(options), start_(now()), used_(used) {}

  Status run(std::span<const CalibrationWork> work) {
    collect(work);
    const DeviceInfo& info = device_.info();
    const int64_t memory = info.memory_bytes;
    DeviceRates rates = times_.rates();
    // Vulkan's drivers compile at a first use, which is once in their lives and no part of it.
    if (used_->empty() && info.backend != "vulkan") {
      ZT_ASSIGN_OR_RETURN(rates.start_seconds, measure_start(device_));
    }
    ZT_RETURN_IF_ERROR(
        measure_copies(device_, memory > 0 ? std::min(kCopied, memory / 64) : kCopied, &rates));
    rates.make = make_rate();
    times_.set_rates(rates);
    // What is compiled by threads of the host would keep the copies above waiting.
    for (const Candidate& c : candidates_)
      if (!c.done && !info.on_host()) device_.foresee(request_of(c));
    double done = 0;
    for (Candidate* next = choose(); next != nullptr; next = choose()) {
      if (options_.stop.stop_requested()) return error(Code::kCancelled, "asked to stop");
      ZT_RETURN_IF_ERROR(measure(next));
      done = std::max(done, std::min(spent() / options_.seconds, 1.0));
      if (options_.progress) options_.progress(done, 1);
    }
    ZT_RETURN_IF_ERROR(measure_phases(work));
    take_rates();
    return Status();
  }

  CalibrationReport report() const {
    CalibrationReport r;
    r.kernels = candidates_.size();
    r.measured = measured_;
    r.points = times_.points().size();
    double all = 0, exact = 0;
    for (const Candidate& c : candidates_) {
      const double seconds = c.calls * times_.seconds(c.point);
      all += seconds;
      if (times_.find(c.point.signature) != nullptr) exact += seconds;
    }
    r.share = all > 0 ? exact / all : 0;
    r.seconds = spent();
    return r;
  }

  DeviceTimes take_times() { return std::move(times_); }

 private:
  double spent() const { return now() - start_; }

  void collect(std::span<const CalibrationWork> work) {
    std::unordered_map<uint64_t, size_t> by_signature;
    for (const CalibrationWork& w : work) {
      const Plan& plan = *w.plan;
      // Of each call: how often it runs, and in all what the plan takes, to weigh plans alike.
      std::vector<std::pair<KernelPoint, double>> calls;
      double total = 0;
      for (const PlanCall& call : plan.calls) {
        KernelPoint point = kernel_point(kernel_request(plan, call), call.kernel.name, call.cost);
        const double count = call.rate >= Rate::kTimestep ? w.steps : 1;
        total += count * times_.seconds(point);
        calls.emplace_back(std::move(point), count);
      }
      for (size_t i = 0; i < calls.size(); ++i) {
        if (plan.calls[i].on_host) continue;
        auto& [point, count] = calls[i];
        const auto [it, fresh] = by_signature.emplace(point.signature, candidates_.size());
        if (fresh) candidates_.push_back({&plan, i, std::move(point), 0, 0, false});
        candidates_[it->second].calls += total > 0 ? count / total : count;
      }
    }
    for (Candidate& c : candidates_) {
      c.distance = std::min(times_.distance(c.point), kFarthest);
      if (!options_.fresh && c.distance == 0) c.done = true;
    }
  }

  // Where the most time depends on the least knowledge, for the time that measuring takes; null:
  // nothing that there is time for.
  Candidate* choose() {
    const double left = kForKernels * options_.seconds - spent();
    Candidate* best = nullptr;
    double most = 0;
    for (Candidate& c : candidates_) {
      if (c.done) continue;
      const double seconds = times_.seconds(c.point);
      const double cost = 3 * seconds + 0.02;
      if (cost > left || seconds > options_.seconds / 8) continue;
      const double worth = c.calls * seconds * (c.distance + 0.1) / std::sqrt(cost);
      if (best == nullptr || worth > most) best = &c, most = worth;
    }
    return left > 0 ? best : nullptr;
  }

  static KernelRequest request_of(const Candidate& c) {
    return kernel_request(*c.plan, c.plan->calls[c.call]);
  }

  Status measure(Candidate* c) {
    c->done = true;
    const KernelRequest request = request_of(*c);
    MeasureOptions options;
    // So that there is time for most of them.
    options.seconds = std::clamp(
        kForKernels * options_.seconds / static_cast<double>(candidates_.size()), 0.02, 0.25);
    options.memory_bytes = device_.info().memory_bytes / 4;
    const auto measured = measure_kernel(device_, request, options);
    if (!measured.ok()) {
      // One kernel's trouble; a device that is gone is everyone's.
      (void)device_.wait();
      return measured.status().code() == Code::kUnavailable ? measured.status() : Status();
    }
    c->point.seconds = std::max(measured->seconds, 1e-9);
    times_.add(c->point);
    ++measured_;
    created_.push_back(measured->create_seconds);
    recorded_.push_back(measured->record_seconds);
    times_.add_code(c->point.kernel, used_->insert(c->point.kernel).second,
                    measured->first_seconds);
    if (measured->packed_bytes > 0)
      packed_.emplace_back(measured->packed_bytes, measured->pack_seconds);
    if (measured->run_seconds > 0) runs_.push_back(measured->run_seconds);
    for (Candidate& other : candidates_)
      if (!other.done && other.point.op == c->point.op)
        other.distance = std::min(other.distance, point_distance(other.point, c->point));
    return Status();
  }

  // The steps of the plans of which most is known, beside the sum of their kernels.
  Status measure_phases(std::span<const CalibrationWork> work) {
    struct Phase {
      const Plan* plan;
      double seconds, mean;
    };
    std::vector<Phase> phases;
    for (const CalibrationWork& w : work) {
      const std::vector<double> alone = call_seconds(times_, nullptr, device_.info(), *w.plan);
      double seconds = 0, exact = 0, calls = 0;
      for (size_t p = 0; p < alone.size(); ++p) {
        const PlanCall& call = w.plan->calls[p];
        if (call.rate != Rate::kStep || call.on_host) continue;
        const KernelPoint point =
            kernel_point(kernel_request(*w.plan, call), call.kernel.name, call.cost);
        seconds += alone[p];
        exact += times_.find(point.signature) != nullptr ? alone[p] : 0;
        ++calls;
      }
      if (calls > 0 && exact >= kExact * seconds)
        phases.push_back({w.plan.get(), seconds, seconds / calls});
    }
    // Quick ones first: many of them fit.
    std::sort(phases.begin(), phases.end(),
              [](const Phase& a, const Phase& b) { return a.seconds < b.seconds; });
    if (!phases.empty()) times_.clear_sequences();
    MeasureOptions options;
    options.memory_bytes = device_.info().memory_bytes / 2;
    for (const Phase& phase : phases) {
      const double left = options_.seconds - spent();
      if (options_.stop.stop_requested()) return error(Code::kCancelled, "asked to stop");
      if (4 * phase.seconds > left) continue;
      options.seconds = std::clamp(left / static_cast<double>(2 * phases.size()), 0.02, 0.5);
      const auto took = measure_phase(device_, *phase.plan, Rate::kStep, options);
      if (!took.ok()) {
        (void)device_.wait();
        if (took.status().code() == Code::kUnavailable) return took.status();
        continue;
      }
      const double launched = *took - (runs_.empty() ? 0 : median(runs_));
      if (launched > 0)
        times_.add_sequence(
            {network_of(*phase.plan, Rate::kStep), phase.mean, launched / phase.seconds});
    }
    return Status();
  }

  void take_rates() {
    DeviceRates rates = times_.rates();
    for (auto [values, rate] :
         {std::pair(&created_, &rates.create_seconds), std::pair(&recorded_, &rates.record_seconds),
          std::pair(&runs_, &rates.run_seconds)})
      if (!values->empty()) *rate = median(*values);
    // Of the larger ones, which decide: each alone waits longer than many in a row.
    std::sort(packed_.begin(), packed_.end());
    double bytes = 0, seconds = 0;
    for (size_t i = packed_.size() / 2; i < packed_.size(); ++i)
      bytes += packed_[i].first, seconds += packed_[i].second;
    if (seconds > 0) rates.pack = bytes / seconds;
    times_.set_rates(rates);
  }

  Device& device_;
  DeviceTimes times_;
  const CalibrationOptions& options_;
  const double start_;
  std::vector<Candidate> candidates_;
  std::vector<double> created_, recorded_, runs_;
  std::set<std::string>* used_;  // names of kernels that this process has measured on the device
  std::vector<std::pair<double, double>> packed_;  // bytes and seconds of packed weights
  size_t measured_ = 0;
};

}  // namespace

DeviceTimes load_device_times(const DeviceInfo& info) {
  DeviceTimes times(info);
  const std::string path = path_of(info);
  if (path.empty()) return times;
  const std::string text = read_sealed_cache(path, kMostBytes);
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("of") || !json.contains("times")) return times;
  if (!json["of"].is_string() || json["of"].get<std::string>() != identity_of(info)) return times;
  DeviceTimes read(info);
  return read.parse(json["times"].dump()).ok() ? read : times;
}

bool save_device_times(const DeviceInfo& info, const DeviceTimes& times) {
  const std::string path = path_of(info);
  if (path.empty()) return false;
  const nlohmann::json json = {{"of", identity_of(info)},
                               {"times", nlohmann::json::parse(times.to_json())}};
  return write_sealed_cache(path,
                            json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
}

Result<CalibrationReport> calibrate(EngineDevice& device, std::span<const CalibrationWork> work,
                                    const CalibrationOptions& options) {
  CalibrationReport report;
  DeviceTimes times(device.info());
  ZT_RETURN_IF_ERROR(device.measure([&](Device& d, std::set<std::string>* used) -> Status {
    Calibrator calibrator(d, options.fresh ? times : *device.times(), used, options);
    ZT_RETURN_IF_ERROR(calibrator.run(work));
    report = calibrator.report();
    times = calibrator.take_times();
    return Status();
  }));
  report.saved = save_device_times(device.info(), times);
  device.set_times(std::move(times));
  return report;
}

}  // namespace zoetrope
