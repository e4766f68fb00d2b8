#include "bench/compare.h"

#include <cmath>
#include <cstdio>

namespace zoetrope::bench {
namespace {

std::string backend_of(const std::string& device) { return device.substr(0, device.find(':')); }

std::string percent(double ratio) {
  char text[32];
  std::snprintf(text, sizeof(text), "%+.0f%%", 100 * (ratio - 1));
  return text;
}

const Row* find_row(const Report& report, const Row& row) {
  for (const Row& other : report.rows)
    if (other.kind == row.kind && other.name == row.name && other.program == row.program &&
        other.device == row.device && other.dtype == row.dtype)
      return &other;
  return nullptr;
}

// A machine that is not as it was explains what the rows say.
void compare_ceilings(const Report& baseline, const Report& now, double tolerance,
                      std::vector<std::string>* notes) {
  for (const DeviceRecord& device : now.devices) {
    const DeviceRecord* const before = baseline.find_device(device.id);
    if (before == nullptr) {
      notes->push_back("the baseline has no device " + device.id);
      continue;
    }
    if (before->name != device.name)
      notes->push_back(str(device.id, " was another device: ", before->name));
    for (const Ceiling& c : device.ceilings)
      for (const Ceiling& b : before->ceilings)
        if (c.what == b.what && c.dtype == b.dtype && b.rate > 0 &&
            std::abs(c.rate / b.rate - 1) > tolerance)
          notes->push_back(str("the machine is not as it was: ", device.id, "'s ", c.what,
                               c.dtype.empty() ? "" : " ", c.dtype, " ceiling ",
                               percent(c.rate / b.rate)));
  }
}

}  // namespace

Comparison compare_reports(const Report& baseline, const Report& now, double tolerance) {
  Comparison out;
  int fresh = 0, gone = 0;
  for (const Row& row : now.rows) {
    if (row.program != now.program) continue;  // a peer's pace is not ours to judge
    const Row* const before = find_row(baseline, row);
    if (row.measured() && before != nullptr && before->measured()) {
      const Change change = compare(before->seconds, row.seconds, tolerance);
      out.rows.push_back({before, &row, change});
      out.slower += change == Change::kSlower;
      out.faster += change == Change::kFaster;
    } else if (before != nullptr && before->measured()) {
      out.notes.push_back(str(
          row.name, " (", row.dtype, ", ", row.device,
          ") was measured in the baseline; now: ", row.error.empty() ? row.skipped : row.error));
    } else if (row.measured()) {
      ++fresh;
    }
  }
  for (const Row& row : baseline.rows)
    gone += row.program == baseline.program && row.measured() && find_row(now, row) == nullptr;
  if (fresh > 0) out.notes.push_back(str(fresh, " rows are not in the baseline"));
  if (gone > 0) out.notes.push_back(str(gone, " rows of the baseline were not asked for"));
  compare_ceilings(baseline, now, tolerance, &out.notes);
  return out;
}

std::vector<const Row*> same_work(const Row& row, const std::vector<const Report*>& reports) {
  std::vector<const Row*> exact, alike;
  for (const Report* report : reports) {
    const bool own = !report->rows.empty() && &row >= report->rows.data() &&
                     &row < report->rows.data() + report->rows.size();
    for (const Row& other : report->rows) {
      const bool same_device = other.device == row.device;
      if (!other.measured() || other.kind != row.kind || other.name != row.name ||
          other.dtype != row.dtype || (own && same_device && other.program == row.program))
        continue;
      if (same_device)
        exact.push_back(&other);
      else if (backend_of(other.device) == backend_of(row.device))
        alike.push_back(&other);
    }
  }
  return exact.empty() ? alike : exact;
}

}  // namespace zoetrope::bench
