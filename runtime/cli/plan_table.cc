#include "runtime/cli/plan_table.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace zoetrope {
namespace {

std::string bytes_or_dash(double bytes) { return bytes > 0 ? format_bytes(bytes) : "-"; }
std::string seconds_or_dash(double seconds) { return seconds > 0 ? format_seconds(seconds) : "-"; }

double resident_bytes(const Plan& plan) {
  const PlanMemory& m = plan.memory;
  return static_cast<double>(m.packed_bytes + m.raw_weight_bytes);
}

// Of all calls: slower phases once.
Cost cost_of(const Job& job) {
  Cost total;
  for (size_t r = 0; r < kRateCount; ++r) {
    const double times = job.runs(static_cast<Rate>(r));
    total.flops += times * job.plan->phase_cost[r].flops;
    total.bytes += times * job.plan->phase_cost[r].bytes;
  }
  return total;
}

size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

std::map<std::string, int64_t> peaks_by_device(const RequestPlan& plan) {
  std::map<std::string, int64_t> peaks;
  for (const Job& job : plan.jobs) {
    int64_t& peak = peaks[job.device->spec()];
    peak = std::max(peak, job.bytes());
  }
  return peaks;
}

std::string tiles_of(const Job& job) {
  const size_t rows = job.rows.tiles.size(), columns = job.columns.tiles.size();
  if (rows * columns > 1)
    return str(rows, "x", columns, " of ", job.rows.length, "x", job.columns.length);
  if (job.tiles.tiles.size() > 1) return str(job.tiles.tiles.size(), " of ", job.tiles.length);
  return "";
}

double streamed_a_step(const RequestPlan& plan) {
  double bytes = 0;
  for (const Job& job : plan.jobs)
    if (job.calls > 1) bytes = std::max(bytes, static_cast<double>(job.plan->stream.step_bytes));
  return bytes;
}

Cells job_cells(const RequestPlan& plan) {
  Cells cells{{"phase", "on", "calls", "memory", "weights", "streamed a call", "tiles", "FLOP",
               "bytes", "load", "seconds"}};
  // Beside the weights: how many stay in the few bits in which they are stored.
  const bool encoded = std::any_of(plan.jobs.begin(), plan.jobs.end(), [](const Job& job) {
    return encoded_weights(*job.plan).count > 0;
  });
  constexpr ptrdiff_t kAfterWeights = 5;
  if (encoded) cells[0].insert(cells[0].begin() + kAfterWeights, "as stored");
  for (const Job& job : plan.jobs) {
    const Cost cost = cost_of(job);
    std::string tiles = tiles_of(job);
    cells.push_back(
        {job.name, job.device->spec(), str(job.calls),
         format_bytes(static_cast<double>(job.bytes())), format_bytes(resident_bytes(*job.plan)),
         bytes_or_dash(static_cast<double>(job.plan->stream.step_bytes)),
         tiles.empty() ? "-" : std::move(tiles), format_flops(cost.flops), format_bytes(cost.bytes),
         seconds_or_dash(job.plan->seconds.load), seconds_or_dash(job.seconds)});
    if (const int64_t count = encoded_weights(*job.plan).count; encoded)
      cells.back().insert(cells.back().begin() + kAfterWeights, count > 0 ? str(count) : "-");
  }
  return cells;
}

std::string cells_to_text(const Cells& cells) {
  std::vector<size_t> widths;
  for (const auto& row : cells)
    for (size_t i = 0; i < row.size(); ++i) {
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  std::string text;
  for (const auto& row : cells) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - width_of(row[i]), ' ');
      line += i == 0 ? row[i] + space : "  " + space + row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

Cells alternative_cells(const std::vector<Alternative>& alternatives) {
  Cells cells{{"memory", "on", "fits", "peak", "denoiser resident", "streamed a step",
               "decoder tiles", "step", "in all"}};
  for (const Alternative& a : alternatives) {
    std::vector<std::string> row{
        a.memory_budget > 0 ? format_bytes(static_cast<double>(a.memory_budget)) : "all there is",
        a.device.empty() ? "-" : a.device};
    if (!a.plan.ok()) {
      row.insert(row.end(), {"no", "-", "-", "-", "-", "-", "-"});
      cells.push_back(std::move(row));
      continue;
    }
    const RequestPlan& plan = *a.plan;
    const Job* denoise = nullptr;
    std::string tiles;
    for (const Job& job : plan.jobs) {
      if (job.task == "denoise" && denoise == nullptr) denoise = &job;
      if (job.name.starts_with("decode") && tiles_of(job) != "") tiles = tiles_of(job);
    }
    row.insert(row.end(), {"yes", format_bytes(static_cast<double>(plan.peak_bytes())),
                           denoise ? format_bytes(resident_bytes(*denoise->plan)) : "-",
                           bytes_or_dash(streamed_a_step(plan)), tiles.empty() ? "whole" : tiles,
                           denoise ? seconds_or_dash(denoise->plan->seconds.step()) : "-",
                           seconds_or_dash(plan.estimated_seconds())});
    cells.push_back(std::move(row));
  }
  return cells;
}

std::string alternatives_to_json(const std::vector<Alternative>& alternatives) {
  using nlohmann::json;
  json list = json::array();
  for (const Alternative& a : alternatives) {
    json entry = {{"memory_budget", a.memory_budget}, {"device", a.device}, {"fits", a.plan.ok()}};
    if (a.plan.ok())
      entry.update(json::parse(request_plan_to_json(*a.plan, false)));
    else
      entry["reason"] = a.plan.status().message();
    list.push_back(std::move(entry));
  }
  return list.dump(2);
}

}  // namespace zoetrope
