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

// Moves buffers of at most `most_bytes` within the layout's bytes to where nothing was live for
// `distance` positions before, nor will be after, as far as there is such room: what shares no
// memory may run at one time. Larger ones stay, since caches like memory that is used again.
void spread_offsets(std::span<ArenaBuffer> buffers, const ArenaLayout& layout, int64_t alignment,
                    int64_t most_bytes, int32_t distance);

}  // namespace zoetrope
