#include <algorithm>
#include <cmath>

#include "runtime/media/png.h"
#include "runtime/report/page.h"
#include "runtime/verify/verify.h"

namespace zoetrope {
namespace {

std::string number(double value) {
  if (!std::isfinite(value)) return "not comparable";
  return format_tick(Unit::kNumber, value);
}
std::string small(double value) {
  if (!std::isfinite(value)) return "not comparable";
  char text[32];
  std::snprintf(text, sizeof(text), value == 0 ? "0" : "%.3g", value);
  return text;
}
std::string decibels(double value) {
  return value >= kSameDecibels ? "same bits" : number(std::round(value * 10) / 10) + " dB";
}

void add_summary(const VerifyReport& report, Page* page) {
  Table table{.columns = {{"device"},
                          {"judgements", true},
                          {"largest error / bound", true},
                          {"in units", true},
                          {"PSNR", true},
                          {"SSIM", true},
                          {"sound SNR", true},
                          {"result"}},
              .rows = {}};
  for (const DeviceReport& d : report.devices) {
    const TracedNode* worst = d.worst();
    const ClipQuality& q = d.quality;
    const bool frames = q.compared && q.worst_frame >= 0;
    table.rows.push_back(
        {d.run.device + ", " + d.run.device_name, str(d.judged()),
         worst ? small(worst->error.ratio) : "", worst ? small(worst->error.units) : "",
         frames ? decibels(q.psnr) : "", frames ? small(q.ssim) : "",
         q.compared && q.has_sound ? decibels(q.snr) : "",
         d.ok() ? Cell("as it should be", Tone::kGood) : Cell("differs", Tone::kBad)});
  }
  page->table(table);
  for (const DeviceReport& d : report.devices) {
    if (!d.status.ok())
      page->text(d.run.device + ": the run failed: " + d.status.message(), Tone::kBad);
    if (d.findings.empty()) continue;
    page->subheading(str("Faults on ", d.run.device, ": ", d.findings.size()));
    Table faults{.columns = {{"what"}, {"where"}, {"kernel"}, {"how"}}, .rows = {}};
    constexpr size_t kMost = 50;
    for (size_t i = 0; i < d.findings.size() && i < kMost; ++i) {
      const Finding& f = d.findings[i];
      faults.rows.push_back({Cell(std::string(finding_name(f.kind)), Tone::kBad),
                             f.job + ": " + f.node, f.kernel, f.text});
    }
    page->table(faults, d.findings.size() > kMost ? str("The first ", kMost, " of them") : "");
  }
}

void add_calls(const VerifyReport& report, Page* page) {
  LinePlot plot{.title = "Error of each call, by what is allowed there",
                .x = {"kernel call"},
                .y = {"error / bound", Unit::kNumber, Scale::kLog},
                .series = {},
                .marks = {{1, "bound", false}}};
  for (const DeviceReport& d : report.devices) {
    Series series{.name = d.run.device, .x = {}, .y = {}, .line = false, .points = true};
    double at = 0;
    for (const JobReport& job : d.jobs) {
      for (const TracedNode& node : job.nodes) {
        if (!node.judged || node.error.elements == 0 || node.run != 0) continue;
        series.x.push_back(at + static_cast<double>(node.call));
        series.y.push_back(std::min(node.error.ratio, 1e6));
        series.labels.push_back(job.name + ": " + node.node + ", " + node.kernel);
      }
      at += static_cast<double>(job.calls);
    }
    if (!series.x.empty()) plot.series.push_back(std::move(series));
  }
  if (!plot.series.empty())
    page->plot(
        plot, "First run of every job, in the order of the plans; rest on a point to see its node");
}

void add_growth(const VerifyReport& report, Page* page) {
  LinePlot steps{.title = "Latents after each step",
                 .x = {"step"},
                 .y = {"relative difference", Unit::kNumber, Scale::kLog},
                 .series = {}};
  LinePlot values{.title = "Values within the networks",
                  .x = {"value, in the order of the calls"},
                  .y = {"relative difference", Unit::kNumber, Scale::kLog},
                  .series = {}};
  for (const DeviceReport& d : report.devices) {
    Series growth{.name = d.run.device, .x = {}, .y = {}, .line = true, .points = true};
    for (const StageDifference& s : d.stages) {
      if (s.step == 0) continue;
      growth.x.push_back(s.step);
      growth.y.push_back(s.relative);
      growth.labels.push_back(small(s.relative));
    }
    if (!growth.x.empty()) steps.series.push_back(std::move(growth));
    Series inside{.name = d.run.device, .x = {}, .y = {}, .line = false, .points = true};
    for (const ValueDifference& v : d.values) {
      inside.x.push_back(static_cast<double>(inside.x.size()));
      inside.y.push_back(v.relative);
      inside.labels.push_back(str(v.job, ", call ", v.run, ": ", v.name, " ", small(v.relative)));
    }
    if (!inside.x.empty()) values.series.push_back(std::move(inside));
  }
  if (!values.series.empty())
    page->plot(values, "Values that the plans of both devices have; equal bits are left out");
  if (!steps.series.empty()) page->plot(steps);
}

std::vector<uint8_t> frame_png(const RunResult& run, int64_t frame) {
  const int64_t size = run.width * run.height * 3;
  return encode_png(run.pixels.data() + frame * size, run.width, run.height);
}

// |a − b|, eight times as bright.
std::vector<uint8_t> difference_png(const RunResult& a, const RunResult& b, int64_t frame) {
  const int64_t size = a.width * a.height * 3;
  std::vector<uint8_t> off(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) {
    const auto at = static_cast<size_t>(frame * size + i);
    off[static_cast<size_t>(i)] =
        static_cast<uint8_t>(std::min(255, 8 * std::abs(int{a.pixels[at]} - int{b.pixels[at]})));
  }
  return encode_png(off.data(), a.width, a.height);
}

void add_frames(const VerifyReport& report, const RunResult& base, Page* page) {
  LinePlot plot{.title = "Frames",
                .x = {"frame"},
                .y = {"PSNR in dB"},
                .series = {},
                .marks = {{report.least_psnr, "least", false}}};
  for (const DeviceReport& d : report.devices) {
    const ClipQuality& q = d.quality;
    if (!q.compared || q.worst_frame < 0 || q.psnr >= kSameDecibels) continue;
    Series series{.name = d.run.device, .x = {}, .y = {}, .line = true, .points = true};
    for (size_t f = 0; f < q.frame_psnr.size(); ++f) {
      series.x.push_back(static_cast<double>(f));
      series.y.push_back(q.frame_psnr[f] >= kSameDecibels ? NAN : q.frame_psnr[f]);
    }
    plot.series.push_back(std::move(series));
  }
  if (!plot.series.empty()) page->plot(plot);
  for (const DeviceReport& d : report.devices) {
    const ClipQuality& q = d.quality;
    if (!q.compared || q.worst_frame < 0 || q.psnr >= kSameDecibels) continue;
    page->subheading(str("Worst frame of ", d.run.device, ": ", q.worst_frame));
    const std::vector<PageImage> images{
        {frame_png(base, q.worst_frame), report.baseline},
        {frame_png(d.run, q.worst_frame), d.run.device},
        {difference_png(d.run, base, q.worst_frame), "difference, eight times as bright"}};
    page->images(images);
  }
}

void add_worst_calls(const DeviceReport& d, Page* page) {
  std::vector<const TracedNode*> nodes;
  for (const JobReport& job : d.jobs)
    for (const TracedNode& node : job.nodes)
      if (node.judged && node.error.elements > 0) nodes.push_back(&node);
  constexpr size_t kMost = 15;
  std::stable_sort(nodes.begin(), nodes.end(), [](const TracedNode* a, const TracedNode* b) {
    return a->error.ratio > b->error.ratio;
  });
  nodes.resize(std::min(nodes.size(), kMost));
  if (nodes.empty()) return;
  page->subheading(str("Largest errors on ", d.run.device));
  Table table{.columns = {{"node"},
                          {"kernel"},
                          {"elements", true},
                          {"error / bound", true},
                          {"units", true}},
              .rows = {}};
  for (const TracedNode* n : nodes)
    table.rows.push_back(
        {n->node, n->kernel, number(static_cast<double>(n->error.elements)),
         Cell(small(n->error.ratio), n->error.ratio > 1 ? Tone::kBad : Tone::kPlain),
         small(n->error.units)});
  page->table(table);
}

}  // namespace

Status write_verify_page(const VerifyReport& report, const RunResult* baseline,
                         const std::string& path) {
  Page page("zoetrope verify: " + report.model, report.request);
  page.text(str("Calls are judged by ", report.judged_by, "; values and clips are compared with ",
                report.baseline, "."));
  page.text(report.ok() ? "Every device does what the model says." : "Results differ.",
            report.ok() ? Tone::kGood : Tone::kBad);
  add_summary(report, &page);
  page.heading("Calls");
  add_calls(report, &page);
  for (const DeviceReport& d : report.devices) add_worst_calls(d, &page);
  page.heading("From the prompt to the clip");
  add_growth(report, &page);
  add_frames(report, baseline != nullptr ? *baseline : report.devices.front().run, &page);
  return page.write(path);
}

}  // namespace zoetrope
