// What a benchmark says: plain data, the same for us and for peers, written as JSON (README.md has
// the schema).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/op_case.h"
#include "bench/stats.h"
#include "graph/dim.h"
#include "graph/status.h"

namespace zoetrope::bench {

inline constexpr std::string_view kSchema = "zoetrope-bench/1";

// A part of a row's time.
struct Phase {
  std::string name;
  double seconds = 0;
  int64_t calls = 1;
};

// One program's time for one case. Rows with equal kind, name and dtype are the same work.
struct Row {
  std::string kind;     // "op", "model" or "pipeline"
  std::string name;     // of the case: the same whoever runs it, in whatever dtype
  std::string family;   // rows that differ in tokens alone: a curve; empty: none
  std::string program;  // "zoetrope", "onednn", "pytorch"
  std::string device;   // DeviceRecord::id
  std::string dtype;
  int64_t tokens = 0;  // 0: does not say
  std::string kernel;
  double flops = 0, bytes = 0;  // of one call: multiply and add count as two; each operand once

  Spread seconds;      // of one call
  int64_t calls = 1;   // calls that a sample is the mean (host) or median (device's clock) of
  double of_roof = 0;  // least time that the measured ceilings allow, over the median; 0: unknown
  std::string roof;    // the ceiling that decides: "copy" or "matmul"
  double clock_mhz = 0, watts = 0;            // means while it ran; 0: the device does not tell
  int64_t planned_bytes = 0, held_bytes = 0;  // on the device; 0: not counted
  bool beside = true;  // interleaved with the other rows of its case; false: one after the other
  std::vector<Phase> phases;

  std::optional<OpCase> op;    // of kind "op": what was run
  Bindings symbols;            // of kind "model"
  std::string error, skipped;  // why there are no times
  int group = -1;              // of those that were run; not written

  bool measured() const { return seconds.samples > 0; }
  double flops_per_second() const { return measured() ? flops / seconds.median : 0; }
  double bytes_per_second() const { return measured() ? bytes / seconds.median : 0; }
};

// What a device reached at best in the same run.
struct Ceiling {
  std::string what;          // "copy" or "matmul"
  std::string dtype;         // of "matmul"
  double rate = 0;           // median, in bytes (read and written) or FLOP a second
  double low = 0, high = 0;  // 10th and 90th percentile over the run
  int samples = 0;
};

struct DeviceRecord {
  std::string id;  // "cpu", "cuda", "vulkan:1"
  std::string name;
  std::vector<std::string> features;
  int64_t memory_bytes = 0;
  std::string telemetry;  // who tells clock and power; or why nobody does
  std::vector<Ceiling> ceilings;
};

struct Report {
  std::string program = "zoetrope", version;
  std::string command;  // that makes it again
  std::string date;     // UTC, ISO 8601
  std::string host;     // processor and system
  double load_average = 0;
  bool complete = true;  // false: interrupted
  std::vector<std::string> notes;
  std::vector<DeviceRecord> devices;
  std::vector<Row> rows;

  const DeviceRecord* find_device(std::string_view id) const;
};

// A family's times against tokens.
struct Curve {
  std::string kind, family, program, device, dtype;
  std::vector<std::pair<double, double>> points;  // tokens, median seconds; by tokens
  PowerFit fit;
};
// Of every family with at least three lengths.
std::vector<Curve> curves_of(const std::vector<Row>& rows);

std::string report_to_json(const Report& report);
// Errors say what is missing or of the wrong kind. `name` is the file's, for messages.
Result<Report> report_from_json(std::string_view json, const std::string& name);
Result<Report> read_report(const std::string& path);
std::string report_to_csv(const Report& report);

}  // namespace zoetrope::bench
