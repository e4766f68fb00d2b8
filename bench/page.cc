#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "bench/show.h"

namespace zoetrope::bench {
namespace {

std::vector<const Report*> all_reports(const Shown& shown) {
  std::vector<const Report*> all{shown.report};
  all.insert(all.end(), shown.beside.begin(), shown.beside.end());
  return all;
}

std::string who(const Row& row) { return str(row.program, ", ", row.device, ", ", row.dtype); }

// For labels of bars, which have room for a few words: the op and its first two operands.
std::string short_name(const Row& row) {
  if (row.kind != "op") return row.name;
  std::string text = row.name;
  constexpr std::string_view kLong = "scaled_dot_product_attention";
  if (text.starts_with(kLong)) text = "attention" + text.substr(kLong.size());
  size_t end = text.find(' ');
  if (end != std::string::npos) end = text.find(' ', end + 1);
  if (end != std::string::npos) end = text.find(' ', end + 1);
  return text.substr(0, end);
}

void add_devices(const Shown& shown, Page* page) {
  Table table{.columns = {{"device"},
                          {"name"},
                          {"ceiling", true},
                          {"10% to 90%", true},
                          {"clock and power"}},
              .rows = {}};
  for (const Report* report : all_reports(shown))
    for (const DeviceRecord& d : report->devices) {
      bool first = true;
      for (const Ceiling& c : d.ceilings) {
        const double unit = c.what == "copy" ? 1e9 : 1e12;
        table.rows.push_back(
            {first ? d.id : "", first ? d.name : "",
             str(c.what, c.dtype.empty() ? "" : " ", c.dtype, " ", format("%.3g", c.rate / unit),
                 c.what == "copy" ? " GB/s" : " TFLOP/s"),
             str(format("%.3g", c.low / unit), " to ", format("%.3g", c.high / unit)),
             first ? d.telemetry : ""});
        first = false;
      }
      if (first) table.rows.push_back({d.id, str(report->program, ": ", d.name), "", "", ""});
    }
  page->heading("Devices");
  page->table(table,
              "Ceilings are measured beside the cases, in the same run: a plain copy (bytes "
              "read and written) and a large product.");
}

// A plot a device: what its rows reach, under its own ceilings.
void add_rooflines(const Shown& shown, Page* page) {
  bool heading = false;
  for (const DeviceRecord& device : shown.report->devices) {
    double copy = 0;
    for (const Ceiling& c : device.ceilings)
      if (c.what == "copy") copy = c.rate;
    LinePlot plot{str("Roofline of ", device.id),
                  {"FLOP a byte", Unit::kNumber, Scale::kLog},
                  {"FLOP a second", Unit::kNumber, Scale::kLog},
                  {}};
    std::map<std::string, Series> points;
    double from = 1e30, to = 0;
    for (const Row& row : shown.report->rows) {
      if (row.device != device.id || !row.measured() || row.flops <= 0 || row.bytes <= 0) continue;
      const double intensity = row.flops / row.bytes;
      from = std::min(from, intensity), to = std::max(to, intensity);
      Series& s = points[str(row.program, " ", row.dtype)];
      s.line = false, s.points = true;
      s.x.push_back(intensity);
      s.y.push_back(row.flops_per_second());
      s.labels.push_back(str(row.name, " (", row.kernel, "): ", short_seconds(row.seconds.median),
                             ", ", rate_text(row)));
    }
    if (points.empty() || copy <= 0) continue;
    for (const Ceiling& c : device.ceilings)
      if (c.what == "matmul")
        plot.series.push_back(roofline(c.dtype + " ceiling", c.rate, copy, from / 2,
                                       std::max(2 * to, c.rate / copy)));
    for (auto& [name, series] : points) {
      series.name = name;
      plot.series.push_back(std::move(series));
    }
    if (!heading) page->heading("Rooflines");
    heading = true;
    page->plot(plot, "Each point is a row. Points above the slope work on what caches hold.");
  }
}

// How much of the roof each family of ops reaches: the median of its shapes.
void add_roof_bars(const Shown& shown, Page* page) {
  std::set<std::string> columns;
  std::map<std::string, std::map<std::string, std::vector<double>>> ops;
  for (const Row& row : shown.report->rows) {
    if (row.kind != "op" || row.of_roof <= 0 || row.program != shown.report->program) continue;
    const std::string column = str(row.device, " ", row.dtype);
    columns.insert(column);
    ops[row.name.substr(0, row.name.find(' '))][column].push_back(row.of_roof);
  }
  if (ops.empty()) return;
  BarPlot plot{"Of the roof, by op",
               {"median over shapes", Unit::kPercent, Scale::kLinear},
               {},
               {},
               /*stacked=*/false};
  for (const std::string& column : columns) {
    plot.bands.push_back({column, {}});
    plot.lowest.push_back({column, {}});
    plot.highest.push_back({column, {}});
  }
  for (auto& [op, by] : ops) {
    plot.categories.push_back(op);
    size_t i = 0;
    for (const std::string& column : columns) {
      std::vector<double> values = by[column];
      std::sort(values.begin(), values.end());
      plot.bands[i].values.push_back(values.empty() ? 0 : std::min(quantile(values, 0.5), 2.0));
      plot.lowest[i].values.push_back(values.empty() ? 0 : std::min(values.front(), 2.0));
      plot.highest[i].values.push_back(values.empty() ? 0 : std::min(values.back(), 2.0));
      ++i;
    }
  }
  plot.marks.push_back({1, "measured ceiling", true});
  page->heading("How close to what the machine can do");
  page->plot(plot,
             "The least time that the measured ceilings allow, over the time taken; whiskers "
             "are the worst and the best shape. Above 200% is cut: such operands are in "
             "caches.");
}

// Ours and peers at the same work, times ours.
void add_peers(const Shown& shown, Page* page) {
  const auto reports = all_reports(shown);
  Table table{
      .columns =
          {{"case"}, {"dtype"}, {"ours", true}, {"peer"}, {"peer's", true}, {"of ours", true}},
      .rows = {}};
  BarPlot plot{"Peers' times over ours",
               {"times ours", Unit::kNumber, Scale::kLinear},
               {},
               {},
               /*stacked=*/false};
  plot.bands.push_back({"times ours", {}});
  constexpr size_t kMostBars = 60;
  for (const Row& row : shown.report->rows) {
    if (!row.measured() || row.program != shown.report->program) continue;
    for (const Row* peer : same_work(row, reports)) {
      const double ratio = peer->seconds.median / row.seconds.median;
      table.rows.push_back({row.name, str(row.dtype, ", ", row.device),
                            short_seconds(row.seconds.median), peer_name(row, *peer),
                            short_seconds(peer->seconds.median),
                            Cell(format("%.2f", ratio), ratio < 0.95   ? Tone::kBad
                                                        : ratio > 1.05 ? Tone::kGood
                                                                       : Tone::kPlain)});
      if (plot.categories.size() < kMostBars) {
        plot.categories.push_back(
            str(peer_name(row, *peer), " ", row.dtype, ": ", short_name(row)));
        plot.bands[0].values.push_back(ratio);
      }
    }
  }
  if (table.rows.empty()) return;
  plot.marks.push_back({1, "ours", true});
  page->heading("Beside peers");
  page->plot(plot, table.rows.size() > kMostBars ? "The first sixty; the table has all." : "");
  page->table(table);
}

void add_curves(const Shown& shown, Page* page) {
  std::map<std::string, LinePlot> plots;
  for (const Report* report : all_reports(shown))
    for (const Curve& c : curves_of(report->rows)) {
      LinePlot& plot = plots
                           .try_emplace(str(c.kind, " ", c.family),
                                        LinePlot{c.family,
                                                 {"tokens", Unit::kNumber, Scale::kLog},
                                                 {"time of a call", Unit::kSeconds, Scale::kLog},
                                                 {}})
                           .first->second;
      Series series;
      series.name =
          str(c.program, " ", c.device, " ", c.dtype, ": tokens^", format("%.2f", c.fit.exponent));
      series.points = true;
      for (const auto& [tokens, seconds] : c.points) {
        series.x.push_back(tokens);
        series.y.push_back(seconds);
        series.labels.push_back(str(tokens, " tokens: ", short_seconds(seconds)));
      }
      plot.series.push_back(std::move(series));
    }
  if (plots.empty()) return;
  page->heading("Cost against tokens");
  for (const auto& [name, plot] : plots) page->plot(plot);
}

void add_phases(const Shown& shown, Page* page) {
  constexpr size_t kMost = 6;
  bool heading = false;
  for (const char* kind : {"model", "pipeline"}) {
    BarPlot plot{kind == std::string("model") ? "A step, by kernel" : "A request, by phase",
                 {"time", Unit::kSeconds, Scale::kLinear},
                 {},
                 {},
                 /*stacked=*/true};
    // The largest parts of all rows together; the rest as one.
    std::map<std::string, double> totals;
    std::vector<const Row*> rows;
    for (const Row& row : shown.report->rows) {
      if (row.kind != kind || row.phases.empty()) continue;
      rows.push_back(&row);
      for (const Phase& p : row.phases) totals[p.name] += p.seconds / row.seconds.median;
    }
    if (rows.empty()) continue;
    std::vector<std::pair<double, std::string>> order;
    for (const auto& [name, sum] : totals) order.emplace_back(-sum, name);
    std::sort(order.begin(), order.end());
    if (order.size() > kMost) order.resize(kMost);
    for (const auto& [sum, name] : order) plot.bands.push_back({name, {}});
    plot.bands.push_back({"the rest", {}});
    for (const Row* row : rows) {
      plot.categories.push_back(str(row->name, " ", who(*row)));
      double rest = 0;
      for (const Phase& p : row->phases) rest += p.seconds;
      for (size_t i = 0; i < order.size(); ++i) {
        double part = 0;
        for (const Phase& p : row->phases)
          if (p.name == order[i].second) part += p.seconds;
        plot.bands[i].values.push_back(part);
        rest -= part;
      }
      plot.bands.back().values.push_back(std::max(0.0, rest));
    }
    if (!heading) page->heading("Where time goes");
    heading = true;
    page->plot(plot);
  }
}

void add_comparison(const Shown& shown, Page* page) {
  if (shown.comparison == nullptr) return;
  const Comparison& c = *shown.comparison;
  page->heading("Against the baseline");
  page->text(str(c.slower, " slower, ", c.faster, " faster, ", c.rows.size(), " compared with ",
                 shown.baseline->date, "."),
             c.slower > 0 ? Tone::kBad : Tone::kGood);
  page->text(
      str("Rule: ", kChangeRule, "; the tolerance is ", format("%.0f%%.", 100 * shown.tolerance)));
  Table table{.columns = {{"case"}, {"who"}, {"before", true}, {"now", true}, {"ratio", true}},
              .rows = {}};
  for (const Difference& d : c.rows)
    if (d.change != Change::kSame)
      table.rows.push_back({d.now->name, who(*d.now), short_seconds(d.baseline->seconds.median),
                            short_seconds(d.now->seconds.median),
                            Cell(format("%.2f", d.ratio()),
                                 d.change == Change::kSlower ? Tone::kBad : Tone::kGood)});
  if (!table.rows.empty()) page->table(table);
  for (const std::string& note : c.notes) page->text(note, Tone::kWarn);
}

void add_rows(const Shown& shown, Page* page) {
  page->heading("Every row");
  for (const Report* report : all_reports(shown)) {
    if (shown.beside.size() > 0)
      page->subheading(str(report->program, " ", report->version, ", ", report->date));
    Table table{.columns = {{"case"},
                            {"dtype"},
                            {"device"},
                            {"program"},
                            {"median", true},
                            {"10% to 90%", true},
                            {"rate", true},
                            {"of roof", true},
                            {"clock", true},
                            {"power", true},
                            {"kernel"}},
                .rows = {}};
    for (const Row& row : report->rows) {
      if (!row.measured()) {
        if (row.error.empty() && row.skipped.empty()) continue;
        table.rows.push_back({row.name, row.dtype, row.device, row.program,
                              Cell(row.error.empty() ? "skipped" : "error",
                                   row.error.empty() ? Tone::kPlain : Tone::kBad),
                              "", "", "", "", "", row.error.empty() ? row.skipped : row.error});
        continue;
      }
      table.rows.push_back(
          {row.name, row.dtype, row.device, row.program, short_seconds(row.seconds.median),
           str(short_seconds(row.seconds.p10), " to ", short_seconds(row.seconds.p90)),
           rate_text(row), row.of_roof > 0 ? format("%.0f%%", 100 * row.of_roof) : "",
           row.clock_mhz > 0 ? format("%.0f MHz", row.clock_mhz) : "",
           row.watts > 0 ? format("%.0f W", row.watts) : "", row.kernel});
    }
    page->table(table);
  }
}

}  // namespace

Page to_page(const Shown& shown) {
  const Report& report = *shown.report;
  Page page("zoetrope bench", str(report.host, ", ", report.date));
  if (!report.command.empty()) page.code(report.command);
  if (!report.complete) page.text("Interrupted: what was measured until then.", Tone::kWarn);
  if (report.load_average > 0)
    page.text(str("Load of the machine while it ran: ", format("%.1f", report.load_average), "."));
  for (const std::string& note : report.notes) page.text(note);
  add_comparison(shown, &page);
  add_devices(shown, &page);
  add_rooflines(shown, &page);
  add_roof_bars(shown, &page);
  add_peers(shown, &page);
  add_curves(shown, &page);
  add_phases(shown, &page);
  add_rows(shown, &page);
  return page;
}

}  // namespace zoetrope::bench
