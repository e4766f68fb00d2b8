// Rows of a tensor shared among threads: for work on weights outside a device.
#pragma once

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <vector>

#include "graph/host.h"
#include "graph/thread.h"

namespace zoetrope {

// How many threads `rows` are worth, at least `least` rows each.
inline int64_t row_parts(int64_t rows, int64_t least) {
  const int64_t most = std::max<int64_t>(usable_threads(), 1);
  return std::clamp<int64_t>(rows / least, 1, most);
}

// Runs body(part, begin, end) over `parts` parts of [0, count); those for which the system has no
// thread run on this one. `body` must not throw.
template <typename Body>
void for_rows(int64_t count, int64_t parts, const Body& body) {
  std::vector<Thread> threads;
  threads.reserve(static_cast<size_t>(parts));
  for (int64_t part = parts - 1; part >= 0; --part) {
    const auto run = [&body, part, begin = count * part / parts, end = count * (part + 1) / parts] {
      body(part, begin, end);
    };
    try {
      if (part > 0) {
        threads.emplace_back(run);
        continue;
      }
    } catch (const std::system_error&) {
    }
    run();
  }
}

}  // namespace zoetrope
