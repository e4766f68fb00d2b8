// A plan as tables, for text and for pages.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/engine/engine.h"

namespace zoetrope {

// Peak bytes on each device that takes part, by name.
std::map<std::string, int64_t> peaks_by_device(const RequestPlan& plan);

// Cells of one table: the first row has the titles. All but the first column are numbers.
using Cells = std::vector<std::vector<std::string>>;

// A row a job: device, calls, memory, weights, tiles, work, seconds.
Cells job_cells(const RequestPlan& plan);
// Columns under each other, numbers at the right.
std::string cells_to_text(const Cells& cells);

// The same request under other budgets or on other devices.
struct Alternative {
  std::string device;         // as it was asked for; empty: as placed
  int64_t memory_budget = 0;  // 0: what the device has
  Result<RequestPlan> plan;
};
Cells alternative_cells(const std::vector<Alternative>& alternatives);
std::string alternatives_to_json(const std::vector<Alternative>& alternatives);

// "cut exactly in 3 x 2 tiles of ...": how a decoder takes its latents; empty: whole.
std::string tiles_of(const Job& job);
// Bytes copied at each step.
double streamed_a_step(const RequestPlan& plan);

}  // namespace zoetrope
