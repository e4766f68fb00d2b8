#include <algorithm>
#include <cmath>
#include <cstdio>

#include "bench/show.h"

namespace zoetrope::bench {

std::string format(const char* pattern, double value) {
  char text[48];
  std::snprintf(text, sizeof(text), pattern, value);
  return text;
}

namespace {

std::string three_digits(double value, const char* unit) {
  return format(value < 10 ? "%.2f " : value < 100 ? "%.1f " : "%.0f ", value) + unit;
}

// Rows as columns that are as wide as they must be; the first stands left.
class Columns {
 public:
  explicit Columns(std::vector<std::string> titles) { add(std::move(titles)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void line(std::string text) { rows_.push_back({std::move(text)}); }  // across all

  std::string text() const {
    std::vector<size_t> widths;
    for (const auto& row : rows_) {
      if (row.size() == 1) continue;
      widths.resize(std::max(widths.size(), row.size()));
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (const auto& row : rows_) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string pad(row.size() == 1 ? 0 : widths[i] - row[i].size(), ' ');
        line += str(i == 0 ? "" : "  ", i == 0 ? row[i] + pad : pad + row[i]);
      }
      out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return out;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Times ours, of the same work: below 1 is faster than ours.
std::string peer_text(const Row& row, const std::vector<const Report*>& reports) {
  std::string text;
  for (const Row* peer : same_work(row, reports))
    text += str(text.empty() ? "" : ", ", peer_name(row, *peer), " ",
                format("%.2fx", peer->seconds.median / row.seconds.median));
  return text;
}

void add_row(const Shown& shown, const Row& row, Columns* columns) {
  const std::string name = "  " + row.name;
  if (!row.measured()) {
    const bool known = !row.error.empty() || !row.skipped.empty();
    columns->line(
        str(name, "  ", row.dtype, "  ", row.device, "  ", row.program, known ? ": " : "",
            row.error.empty() ? "" : "ERROR: ", row.error.empty() ? row.skipped : row.error));
    return;
  }
  const Spread& s = row.seconds;
  std::vector<const Report*> others{shown.report};
  others.insert(others.end(), shown.beside.begin(), shown.beside.end());
  columns->add({name, row.dtype, row.device, row.program, short_seconds(s.median),
                str(short_seconds(s.p10), " to ", short_seconds(s.p90)), rate_text(row),
                row.of_roof > 0 ? format("%.0f%%", 100 * row.of_roof) + " of " + row.roof : "",
                row.clock_mhz > 0 ? format("%.0f MHz", row.clock_mhz) : "",
                row.watts > 0 ? format("%.0f W", row.watts) : "",
                row.program == "zoetrope" ? peer_text(row, others) : ""});
}

std::string ceilings_text(const Report& report) {
  std::string text;
  for (const DeviceRecord& d : report.devices) {
    text += str(d.id, "  ", d.name, "\n");
    std::string ceilings;
    for (const Ceiling& c : d.ceilings) {
      const bool copy = c.what == "copy";
      const double unit = copy ? 1e9 : c.rate >= 1e12 ? 1e12 : 1e9;
      ceilings +=
          str(ceilings.empty() ? "" : "; ", c.what, c.dtype.empty() ? "" : " ", c.dtype, " ",
              three_digits(c.rate / unit, copy           ? "GB/s"
                                          : unit == 1e12 ? "TFLOP/s"
                                                         : "GFLOP/s"),
              format(" (%.0f", 100 * c.low / c.rate), format(" to %.0f%%)", 100 * c.high / c.rate));
    }
    if (!ceilings.empty()) text += str("  ceilings measured in this run: ", ceilings, "\n");
    text += str("  clock and power: ", d.telemetry, "\n");
  }
  return text;
}

}  // namespace

std::string short_seconds(double seconds) {
  if (seconds < 1e-6) return three_digits(seconds * 1e9, "ns");
  if (seconds < 1e-3) return three_digits(seconds * 1e6, "us");
  if (seconds < 1) return three_digits(seconds * 1e3, "ms");
  return three_digits(seconds, "s");
}

std::string peer_name(const Row& row, const Row& peer) {
  return peer.program == row.program ? str("another ", peer.device) : peer.program;
}

std::string rate_text(const Row& row) {
  // Where nobody says what decides: arithmetic from some operations a byte on.
  const bool arithmetic = row.roof.empty() ? row.flops > 8 * row.bytes : row.roof == "matmul";
  if (arithmetic && row.flops > 0) {
    const double rate = row.flops_per_second();
    return rate >= 1e12 ? three_digits(rate * 1e-12, "TFLOP/s")
                        : three_digits(rate * 1e-9, "GFLOP/s");
  }
  return row.bytes > 0 ? three_digits(row.bytes_per_second() * 1e-9, "GB/s") : "";
}

std::string to_table(const Shown& shown) {
  const Report& report = *shown.report;
  std::string text = ceilings_text(report);
  for (const char* kind : {"op", "model", "pipeline"}) {
    Columns columns({str("\n", kind), "dtype", "device", "program", "median", "p10 to p90", "rate",
                     "of roof", "clock", "power", "peer's over ours"});
    bool any = false;
    for (const Row& row : report.rows) {
      if (row.kind != kind) continue;
      any = true;
      add_row(shown, row, &columns);
    }
    if (any) text += columns.text();
  }
  const auto curves = curves_of(report.rows);
  if (!curves.empty()) text += "\ncost against tokens: seconds = factor * tokens^exponent\n";
  for (const Curve& c : curves)
    text += str("  ", c.family, "  ", c.dtype, "  ", c.device, "  ", c.program, "  exponent ",
                format("%.2f", c.fit.exponent), format(" +- %.2f", c.fit.error), " over ",
                c.points.front().first, " to ", c.points.back().first, " tokens\n");
  for (const std::string& note : report.notes) text += str("note: ", note, "\n");
  if (!report.complete) text += "note: interrupted: what was measured until then\n";
  if (shown.comparison == nullptr) return text;
  const Comparison& c = *shown.comparison;
  text += str("\nagainst the baseline of ", shown.baseline->date, ": ", c.slower, " slower, ",
              c.faster, " faster, ", c.rows.size(), " compared\n  ", kChangeRule, "; tolerance ",
              format("%.0f%%", 100 * shown.tolerance), "\n");
  for (const Difference& d : c.rows)
    if (d.change != Change::kSame)
      text += str("  ", d.change == Change::kSlower ? "SLOWER" : "faster", "  ", d.now->name, "  ",
                  d.now->dtype, "  ", d.now->device, "  ", d.now->program, "  ",
                  short_seconds(d.baseline->seconds.median), " -> ",
                  short_seconds(d.now->seconds.median), format(" (%.2fx)", d.ratio()), "\n");
  for (const std::string& note : c.notes) text += str("  ", note, "\n");
  return text;
}

}  // namespace zoetrope::bench
