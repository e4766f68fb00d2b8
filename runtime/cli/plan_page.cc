#include "runtime/cli/plan_page.h"

#include <algorithm>
#include <cstdio>

namespace zoetrope {
namespace {

constexpr size_t kMostKernels = 14;  // of the bars

std::string clip_text(const RequestPlan& plan) {
  const ClipShape& s = plan.shape;
  std::string text =
      s.latent_frames == 0 && s.samples > 0
          ? str(static_cast<double>(s.samples) / plan.clip.sample_rate, " s of sound")
      : s.frames > 1
          ? str(s.width, "x", s.height, ", ", s.frames, " frames at ", plan.clip.fps, " fps")
          : str(plan.samples, plan.samples == 1 ? " picture of " : " pictures of ", s.width, "x",
                s.height);
  return text + str(", ", plan.denoise.steps, " steps");
}

Table table_of(const Cells& cells, size_t texts) {
  Table table;
  for (size_t i = 0; i < cells[0].size(); ++i) table.columns.push_back({cells[0][i], i >= texts});
  for (size_t r = 1; r < cells.size(); ++r) {
    std::vector<Cell> row;
    for (const std::string& cell : cells[r]) row.emplace_back(cell);
    table.rows.push_back(std::move(row));
  }
  return table;
}

// What one device holds while its jobs' calls run one after the other, each call as wide as any
// other: denoising shows one of its steps.
AreaPlot memory_of(const RequestPlan& plan, const EngineDevice& device, int64_t budget) {
  AreaPlot plot;
  plot.title = str("Memory on ", device.spec(), " over the schedule, by owner");
  plot.x = {"kernel calls, one step of each phase"};
  plot.y = {"", Unit::kBytes};
  plot.bands = {{"weights that stay", {}},
                {"slots of streamed weights", {}},
                {"carried across phases", {}},
                {"activations", {}},
                {"workspace", {}},
                {"held beside", {}},
                {"arena at rest", {}}};
  double x = 0;
  plot.edges = {0};
  for (const Job& job : plan.jobs) {
    if (job.device != &device) continue;
    const PlanMemory& m = job.plan->memory;
    plot.marks.push_back({x, job.name, true});
    for (const PlanCall& call : job.plan->calls) {
      const auto workspace = call.on_host ? 0 : call.workspace.bytes;
      const int64_t carried = std::min(m.carried_bytes, call.live_bytes - workspace);
      const double values[] = {static_cast<double>(m.packed_bytes + m.raw_weight_bytes),
                               static_cast<double>(m.slot_bytes),
                               static_cast<double>(carried),
                               static_cast<double>(call.live_bytes - workspace - carried),
                               static_cast<double>(workspace),
                               static_cast<double>(job.beside_bytes),
                               static_cast<double>(m.arena_bytes - call.live_bytes)};
      for (size_t b = 0; b < plot.bands.size(); ++b) plot.bands[b].values.push_back(values[b]);
      plot.edges.push_back(++x);
    }
  }
  std::erase_if(plot.bands, [](const Band& band) {
    return std::all_of(band.values.begin(), band.values.end(), [](double v) { return v <= 0; });
  });
  if (budget > 0) plot.marks.push_back({static_cast<double>(budget), "budget"});
  return plot;
}

BarPlot time_by_phase(const RequestPlan& plan) {
  BarPlot bars;
  bars.title = "Time by phase";
  bars.value = {"", Unit::kSeconds};
  bars.bands = {{"loading", {}}, {"running", {}}};
  for (const Job& job : plan.jobs) {
    bars.categories.push_back(job.name);
    bars.bands[0].values.push_back(job.plan->seconds.load);
    bars.bands[1].values.push_back(job.seconds);
  }
  return bars;
}

struct KernelShare {
  std::string name;
  double seconds = 0, calls = 0;
  Cost cost;
};

// Of all jobs, the one that takes longest first.
std::vector<KernelShare> kernels_of(const RequestPlan& plan) {
  std::map<std::string, KernelShare> by_name;
  for (const Job& job : plan.jobs)
    for (const PlanCall& call : job.plan->calls) {
      const double times = job.runs(call.rate);
      const auto op = op_def(job.plan->graph.nodes[static_cast<size_t>(call.node)].op).name;
      KernelShare& share = by_name[str(op, " ", call.kernel.name)];
      share.name = str(op, ": ", call.kernel.name);
      share.seconds += times * call.seconds;
      share.calls += times;
      share.cost.flops += times * call.cost.flops;
      share.cost.bytes += times * call.cost.bytes;
    }
  std::vector<KernelShare> all;
  for (auto& [name, share] : by_name) all.push_back(std::move(share));
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return all;
}

BarPlot time_by_kernel(const std::vector<KernelShare>& kernels) {
  BarPlot bars;
  bars.title = "Time by kernel";
  bars.value = {"", Unit::kSeconds};
  bars.bands = {{"", {}}};
  double rest = 0;
  for (size_t i = 0; i < kernels.size(); ++i) {
    if (i >= kMostKernels) {
      rest += kernels[i].seconds;
      continue;
    }
    bars.categories.push_back(kernels[i].name);
    bars.bands[0].values.push_back(kernels[i].seconds);
  }
  if (rest > 0) {
    bars.categories.push_back(str(kernels.size() - kMostKernels, " others"));
    bars.bands[0].values.push_back(rest);
  }
  return bars;
}

Table kernel_table(const std::vector<KernelShare>& kernels) {
  Table table;
  table.columns = {{"kernel"},      {"calls", true},  {"seconds", true},
                   {"share", true}, {"FLOP/s", true}, {"bytes/s", true}};
  double all = 0;
  for (const KernelShare& k : kernels) all += k.seconds;
  for (const KernelShare& k : kernels) {
    if (k.seconds <= 0) continue;
    table.rows.push_back(
        {k.name, str(k.calls), format_seconds(k.seconds),
         format_tick(Unit::kPercent, k.seconds / all),
         k.cost.flops > 0 ? format_flops(k.cost.flops / k.seconds) : std::string("-"),
         format_bytes(k.cost.bytes / k.seconds)});
  }
  return table;
}

void add_summary(const RequestPlan& plan, Page* page) {
  std::string peaks;
  for (const auto& [device, bytes] : peaks_by_device(plan))
    peaks +=
        str(peaks.empty() ? "" : ", ", format_bytes(static_cast<double>(bytes)), " on ", device);
  page->text(str("Peak memory ", peaks, ", in '", plan.largest().name, "'."));
  if (plan.estimated_seconds() > 0)
    page->text(str("About ", format_seconds(plan.estimated_seconds()),
                   plan.calibrated() ? "." : ", roughly: the device was not calibrated."),
               plan.calibrated() ? Tone::kPlain : Tone::kWarn);
  else
    page->text("The time is not known: the device was not calibrated.", Tone::kWarn);
}

}  // namespace

Page plan_page(const Model& model, const RequestPlan& plan, int64_t budget) {
  Page page(str("Plan: ", model.name), clip_text(plan));
  add_summary(plan, &page);
  page.heading("Phases");
  page.table(table_of(job_cells(plan), 2));
  page.heading("Memory");
  std::vector<const EngineDevice*> devices;
  for (const Job& job : plan.jobs)
    if (std::find(devices.begin(), devices.end(), job.device) == devices.end())
      devices.push_back(job.device);
  for (const EngineDevice* device : devices) page.plot(memory_of(plan, *device, budget));
  page.heading("Time");
  page.plot(time_by_phase(plan));
  const std::vector<KernelShare> kernels = kernels_of(plan);
  page.plot(time_by_kernel(kernels));
  page.table(kernel_table(kernels));
  return page;
}

Page alternatives_page(const Model& model, const std::vector<Alternative>& alternatives) {
  const auto first = std::find_if(alternatives.begin(), alternatives.end(),
                                  [](const Alternative& a) { return a.plan.ok(); });
  Page page(str("Plans: ", model.name), first == alternatives.end() ? "" : clip_text(*first->plan));
  page.table(table_of(alternative_cells(alternatives), 2));
  BarPlot memory, time;
  memory.title = "Peak memory, of the largest phase";
  memory.value = {"", Unit::kBytes};
  memory.bands = {{"its weights that stay", {}}, {"what else it holds", {}}};
  time.title = "Time";
  time.value = {"", Unit::kSeconds};
  time.bands = {{"loading", {}}, {"text and pictures", {}}, {"denoising", {}}, {"decoding", {}}};
  for (const Alternative& a : alternatives) {
    const std::string name =
        str(a.memory_budget > 0 ? format_bytes(static_cast<double>(a.memory_budget))
                                : std::string("all there is"),
            a.device.empty() ? "" : str(" on ", a.device));
    if (!a.plan.ok()) {
      page.text(str(name, ": ", a.plan.status().message()), Tone::kWarn);
      continue;
    }
    memory.categories.push_back(name);
    time.categories.push_back(name);
    double parts[4] = {};
    for (const ExpectedTask& task : expected_tasks(*a.plan))
      parts[task.name.starts_with("load ")    ? 0
            : task.name == "denoise"          ? 2
            : task.name.starts_with("decode") ? 3
                                              : 1] += task.seconds;
    const PlanMemory& largest = a.plan->largest().plan->memory;
    const auto weights = static_cast<double>(largest.packed_bytes + largest.raw_weight_bytes);
    memory.bands[0].values.push_back(weights);
    memory.bands[1].values.push_back(static_cast<double>(a.plan->peak_bytes()) - weights);
    for (size_t i = 0; i < 4; ++i) time.bands[i].values.push_back(parts[i]);
  }
  page.plot(memory);
  page.plot(time);
  for (const Alternative& a : alternatives) {
    if (!a.plan.ok()) continue;
    page.heading(a.memory_budget > 0
                     ? str("Within ", format_bytes(static_cast<double>(a.memory_budget)))
                     : str("On ", a.device));
    std::vector<const EngineDevice*> devices;
    for (const Job& job : a.plan->jobs)
      if (std::find(devices.begin(), devices.end(), job.device) == devices.end())
        devices.push_back(job.device);
    for (const EngineDevice* device : devices)
      page.plot(memory_of(*a.plan, *device, a.memory_budget));
  }
  return page;
}

}  // namespace zoetrope
