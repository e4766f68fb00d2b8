// Which calls of a sequence may run side by side.
#pragma once

#include <span>
#include <vector>

#include "backends/cuda/ranges.h"

namespace zoetrope::cuda {

// The device memory that a call reads and writes.
struct CallMemory {
  Ranges reads, writes;
  bool alone = false;  // nothing runs beside it
};

// For each call the earlier ones that it must follow, ascending: those that touch what it writes,
// or write what it reads. Calls that others of the list follow anyway are left out. Very long lists
// are put in a row.
std::vector<std::vector<size_t>> call_order(std::span<const CallMemory> calls);

}  // namespace zoetrope::cuda
