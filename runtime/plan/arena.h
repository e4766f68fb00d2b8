// Offset assignment: packs buffers with known sizes and lifetimes into one arena.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace zoetrope {

// A buffer that is live at every position first..last, both included.
struct ArenaBuffer {
  int64_t bytes = 0;
  int32_t first = 0;
  int32_t last = 0;
  int64_t offset = 0;  // result
};

struct ArenaLayout {
  int64_t bytes = 0;        // end of the highest buffer
  int64_t lower_bound = 0;  // largest sum of live bytes at any position
};

// Sets every offset to a multiple of `alignment` such that buffers live at the same time never
// overlap. Tries several greedy orders and keeps the smallest arena; deterministic.
ArenaLayout assign_offsets(std::span<ArenaBuffer> buffers, int64_t alignment);

}  // namespace zoetrope
