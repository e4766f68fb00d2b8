// Plans, and what is known of this machine, as people look at them: the reports of the command.
#include <algorithm>

#include "runtime/cli/plan_page.h"
#include "runtime/report/style.h"
#include "runtime/serve/http.h"

namespace zoetrope {
namespace {

constexpr size_t kMostRows = 60;  // of the table of kernels

// The look of reports, for a part of a page: it brings its own colours.
std::string report_css() {
  std::string css = str(color_css(), page_css(), plot_css());
  for (const auto& [from, to] :
       {std::pair<std::string, std::string>{":root{", ":host{"}, {"body{", ".report{"}})
    for (size_t at = 0; (at = css.find(from, at)) != std::string::npos; at += to.size())
      css.replace(at, from.size(), to);
  return css;
}

void send_page(Call& c, const Page& page) {
  c.response.set_content(page.html(), "text/html; charset=utf-8");
}

// Those that a usual request of the model takes; none where it wants more than words and classes.
std::vector<const EngineDevice*> devices_of(Engine& engine) {
  Request request;
  const Recipe& recipe = engine.model().recipe;
  if (recipe.reads_text())
    request.prompt = "a";
  else
    request.classes = {"0"};
  std::vector<const EngineDevice*> devices;
  const auto plan = engine.plan(request);
  for (const Job& job : plan.ok() ? plan->jobs : std::vector<Job>())
    if (std::find(devices.begin(), devices.end(), job.device) == devices.end())
      devices.push_back(job.device);
  return devices;
}

Table table_of(std::vector<KernelPoint> points) {
  Table table;
  table.columns = {{"op"},         {"kernel"},       {"types"},
                   {"time", true}, {"FLOP/s", true}, {"bytes/s", true}};
  std::sort(points.begin(), points.end(),
            [](const KernelPoint& a, const KernelPoint& b) { return a.seconds > b.seconds; });
  if (points.size() > kMostRows) points.resize(kMostRows);
  for (const KernelPoint& p : points)
    table.rows.push_back({p.op, p.kernel, p.types, format_seconds(p.seconds),
                          p.flops > 0 ? format_flops(p.flops / p.seconds) : std::string("-"),
                          format_bytes(p.bytes / p.seconds)});
  return table;
}

// Each kernel by how much it computes for a byte, and how fast; the best that was seen is the roof.
LinePlot roof_of(const std::vector<KernelPoint>& points) {
  LinePlot plot;
  plot.title = "Kernels as they were measured";
  plot.x = {"FLOP a byte", Unit::kNumber, Scale::kLog};
  plot.y = {"FLOP/s", Unit::kNumber, Scale::kLog};
  Series wide{"f32", {}, {}, false, true}, narrow{"16 bits and fewer", {}, {}, false, true};
  double best = 0, bytes = 0, low = 1e9, high = 0;
  for (const KernelPoint& p : points) {
    if (p.flops <= 0 || p.bytes <= 0 || p.seconds <= 0) continue;
    Series& series = p.gives_narrow() ? narrow : wide;
    const double intensity = p.flops / p.bytes;
    series.x.push_back(intensity);
    series.y.push_back(p.flops / p.seconds);
    series.labels.push_back(str(p.op, ": ", p.kernel, ", ", format_seconds(p.seconds)));
    best = std::max(best, p.flops / p.seconds);
    bytes = std::max(bytes, p.bytes / p.seconds);
    low = std::min(low, intensity);
    high = std::max(high, intensity);
  }
  for (Series* series : {&wide, &narrow})
    if (!series->x.empty()) plot.series.push_back(std::move(*series));
  if (high > low) plot.series.push_back(roofline("the best seen", best, bytes, low, high));
  return plot;
}

void add_device(const EngineDevice& device, Page* page) {
  const DeviceInfo& info = device.info();
  const auto times = device.times();
  page->heading(str(device.spec(), ": ", info.name));
  page->text(str(format_bytes(static_cast<double>(info.memory_bytes)), " of memory for plans."));
  if (!times->measured()) {
    page->text("Not calibrated: times are rough. `zoetrope calibrate` measures it once.",
               Tone::kWarn);
    return;
  }
  const DeviceRates& r = times->rates();
  const auto rate = [](double bytes) {
    return bytes > 0 ? str(format_bytes(bytes), "/s") : std::string("-");
  };
  Table rates;
  rates.columns = {{"kernels known", true}, {"start", true},    {"a submission", true},
                   {"upload", true},        {"download", true}, {"streaming", true},
                   {"packing", true}};
  rates.rows.push_back({str(times->points().size()), format_seconds(r.start_seconds),
                        format_seconds(r.run_seconds), rate(r.upload), rate(r.download),
                        rate(r.stream), rate(r.pack)});
  page->table(rates);
  page->plot(roof_of(times->points()));
  page->table(table_of(times->points()), times->points().size() > kMostRows
                                             ? str("The ", kMostRows, " that take longest.")
                                             : "");
}

Fault machine(Call& c) {
  Page page("This machine",
            "What `zoetrope calibrate` knows of the devices that clips are made on");
  std::set<std::string> shown;
  for (const auto& engine : c.context.service.models().engines())
    for (const EngineDevice* device : devices_of(*engine))
      if (shown.insert(device->spec()).second) add_device(*device, &page);
  if (shown.empty()) page.text("No device is open yet.", Tone::kWarn);
  send_page(c, page);
  return {};
}

Fault bench(Call& c) {
  const std::string& page = c.context.options.bench_page;
  if (page.empty())
    return error(Code::kNotFound,
                 "no report is shown here: `zoetrope bench --json FILE` makes one, ",
                 "`zoetrope serve --bench FILE` shows it");
  c.response.set_content(page, "text/html; charset=utf-8");
  return {};
}

}  // namespace

Fault show_plan(Call& c, const PlannedJob& planned) {
  send_page(c, plan_page(planned.engine->model(), planned.plan, planned.plan.memory_budget));
  return {};
}

void add_view_routes(Routes& routes) {
  routes.get("/api/machine", machine);
  routes.get("/api/bench", bench);
  routes.get("/report.css", [](Call& c) -> Fault {
    c.response.set_content(report_css(), "text/css; charset=utf-8");
    return {};
  });
}

}  // namespace zoetrope
