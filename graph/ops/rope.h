// How every kernel sees the rotary tables of rope and norm_rope.
#pragma once

#include <array>
#include <cstdint>

#include "graph/shape.h"

namespace zoetrope::ops {

// Elements of a table [B or 1, N, 1 or H, D/2] from sample to sample, token to token and head to
// head; 0 where all share one.
inline std::array<int64_t, 3> rope_table_steps(const Shape& table) {
  const int64_t token = table[2] * table[3];
  return {table[0] == 1 ? 0 : table[1] * token, token, table[2] == 1 ? 0 : table[3]};
}

}  // namespace zoetrope::ops
