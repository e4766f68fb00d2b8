#include <algorithm>
#include <cmath>
#include <cstdio>

#include "runtime/plan/planner.h"
#include "runtime/verify/verify.h"

namespace zoetrope {
namespace {

std::string number(double value) {
  if (std::isinf(value)) return "not comparable";
  char text[32];
  std::snprintf(text, sizeof(text), value == 0 ? "0" : "%.3g", value);
  return text;
}

std::string decibels(double value) {
  if (value >= kSameDecibels) return "the same bits";
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f dB", value);
  return text;
}

std::string coverage(const DeviceReport& d) {
  int64_t calls = 0, too_large = 0;
  for (const JobReport& job : d.jobs) {
    calls += static_cast<int64_t>(job.calls);
    for (const TracedNode& node : job.nodes) too_large += node.judged && node.error.elements == 0;
  }
  std::string text = str(calls, " kernel calls, ", d.judged(), " judgements");
  if (too_large > 0)
    text += str(", ", too_large, " of calls that are too large for the definition");
  return text;
}

void add_values(const DeviceReport& d, std::string* text) {
  for (const StageDifference& s : d.stages)
    *text += str("    ", s.stage, ", ", s.name, ": off by ", number(s.relative), "\n");
  const auto worst = std::max_element(
      d.values.begin(), d.values.end(),
      [](const ValueDifference& a, const ValueDifference& b) { return a.relative < b.relative; });
  if (worst != d.values.end())
    *text += str("    of ", d.values.size(), " values that both plans have, the furthest apart: '",
                 worst->name, "' of '", worst->job, "', off by ", number(worst->relative), "\n");
}

void add_clip(const VerifyReport& report, const DeviceReport& d, std::string* text) {
  const ClipQuality& q = d.quality;
  if (!q.compared) {
    if (!d.clip_ok) *text += "    FAULT: the clips' sizes differ\n";
    return;
  }
  if (q.worst_frame >= 0) {
    char ssim[32];
    std::snprintf(ssim, sizeof(ssim), "%.6f", q.ssim);
    *text +=
        str("    frames: PSNR ", decibels(q.psnr), " (frame ", q.worst_frame, " the worst, ",
            decibels(q.frame_psnr[static_cast<size_t>(q.worst_frame)]), "), SSIM ", ssim, "\n");
  }
  if (q.has_sound) *text += str("    sound: SNR ", decibels(q.snr), "\n");
  if (!d.clip_ok)
    *text += str("    FAULT: expected a PSNR of at least ", report.least_psnr,
                 " dB and an SNR of at least ", report.least_snr, " dB\n");
}

}  // namespace

std::string verify_report_to_text(const VerifyReport& report) {
  std::string text =
      str(report.model, ", ", report.request, "\n", "calls are judged by ", report.judged_by,
          "; values and clips are compared with ", report.baseline, "\n");
  for (const DeviceReport& d : report.devices) {
    text += str("\n", d.run.device, " (", d.run.device_name, ") in ", format_seconds(d.seconds),
                ": ", coverage(d), "\n");
    if (const TracedNode* worst = d.worst()) {
      text += str("    largest error: ", number(worst->error.ratio), " of what is allowed, ",
                  number(worst->error.units), " units of ", dtype_name(worst->dtype), ", at ",
                  worst->node, " (", worst->kernel, ")\n");
    }
    add_values(d, &text);
    add_clip(report, d, &text);
    if (!d.status.ok()) text += str("    FAULT: the run failed: ", d.status.message(), "\n");
    constexpr size_t kMost = 8;
    for (size_t i = 0; i < d.findings.size() && i < kMost; ++i) {
      const Finding& f = d.findings[i];
      text += str("    ", i == 0 ? "FIRST FAULT" : "fault", ", ", finding_name(f.kind), ": ", f.job,
                  ", ", f.node, ", kernel ", f.kernel, "\n        ", f.text, "\n");
    }
    if (d.findings.size() > kMost) text += str("    and ", d.findings.size() - kMost, " more\n");
  }
  text += report.ok() ? "\nevery device does what the model says\n" : "\nRESULTS DIFFER\n";
  return text;
}

}  // namespace zoetrope
