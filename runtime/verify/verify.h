// The same request on several devices: every kernel call judged where it runs, and what comes out
// compared from the prompt to the clip.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine/engine.h"
#include "runtime/verify/node_trace.h"
#include "runtime/verify/quality.h"
#include "runtime/verify/stage_log.h"

namespace zoetrope {

// What a run made, from one device or from a file that an earlier one wrote.
struct RunResult {
  std::string device, device_name;
  std::vector<StageRecord> stages;
  int64_t width = 0, height = 0, frames = 0;
  std::vector<uint8_t> pixels;  // [frames, height, width, 3]
  std::vector<float> sound;     // interleaved
};

struct VerifyOptions {
  Request request;
  std::vector<std::string> devices;  // at least one; values are compared with the first one's
  bool judge_nodes = true;
  bool by_cpu = false;  // calls are judged by the CPU backend's kernels, whole, not by definitions
  // In place of the first device's values.
  std::shared_ptr<const RunResult> baseline;
  std::string baseline_name;
  PartOptions parts;
  int64_t calls = 4;  // judged of each kernel that a plan has several of; 0: all
  // What clips must reach; negative: by the compute type.
  double least_psnr = -1, least_snr = -1;
};

// An engine for one device; anything that keeps results the same may be shared.
using MakeEngine = std::function<Result<std::unique_ptr<Engine>>(const std::string& device)>;

struct JobReport {
  std::string name, component;
  std::string plan;  // plan_fingerprint()
  size_t calls = 0;  // of the plan
  std::vector<TracedNode> nodes;
};

struct StageDifference {
  std::string stage, name;
  int step = 0;
  double relative = 0;  // relative_difference()
};

struct ValueDifference {
  std::string job, name;
  int64_t run = 0;
  double relative = 0;
};

struct ClipQuality {
  bool compared = false;
  double psnr = kSameDecibels, ssim = 1, snr = kSameDecibels;  // snr: of sound, if there is any
  bool has_sound = false;
  std::vector<double> frame_psnr;
  int64_t worst_frame = -1;
};

struct DeviceReport {
  RunResult run;
  Status status;  // of the run: what was looked at before it failed is there
  double seconds = 0;
  std::vector<JobReport> jobs;
  std::vector<Finding> findings;  // in the order of the calls
  std::vector<StageDifference> stages;
  std::vector<ValueDifference> values;  // that both devices' plans have, in the order of the calls
  ClipQuality quality;
  bool clip_ok = true;  // PSNR and SNR are as they must be

  bool ok() const { return status.ok() && findings.empty() && clip_ok; }
  // Over all calls that were judged.
  const TracedNode* worst() const;
  int64_t judged() const;
};

struct VerifyReport {
  std::string model, request, judged_by, baseline;  // for people
  double least_psnr = 0, least_snr = 0;
  std::vector<DeviceReport> devices;

  bool ok() const;
};

// Errors are of what cannot even begin (a bad request, a device that is not there); what goes wrong
// on a device is in its report.
Result<VerifyReport> verify_devices(const VerifyOptions& options, const MakeEngine& make_engine,
                                    const RunHooks& hooks = {});

// usable_devices(), the CPU first: what differs is told of the others.
std::vector<std::string> devices_to_verify(const DeviceOptions& options = {});

// OK, or kDiffers with the first device's first difference; kResourceExhausted where it came to
// none for want of memory.
Status verdict(const VerifyReport& report);

// For people, for machines, and one HTML page. `baseline`: null where it is the first device.
std::string verify_report_to_text(const VerifyReport& report);
std::string verify_report_to_json(const VerifyReport& report);
Status write_verify_page(const VerifyReport& report, const RunResult* baseline,
                         const std::string& path);

}  // namespace zoetrope
