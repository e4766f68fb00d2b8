#include "runtime/plan/arena.h"

#include <algorithm>
#include <numeric>

namespace zoetrope {
namespace {

int64_t align_up(int64_t value, int64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

int64_t live_lower_bound(std::span<const ArenaBuffer> buffers, int64_t alignment) {
  int32_t end = 0;
  for (const ArenaBuffer& b : buffers) end = std::max(end, b.last + 1);
  std::vector<int64_t> delta(static_cast<size_t>(end) + 1, 0);
  for (const ArenaBuffer& b : buffers) {
    delta[static_cast<size_t>(b.first)] += align_up(b.bytes, alignment);
    delta[static_cast<size_t>(b.last) + 1] -= align_up(b.bytes, alignment);
  }
  int64_t live = 0, peak = 0;
  for (int64_t d : delta) peak = std::max(peak, live += d);
  return peak;
}

// Places buffers in the given order, each at the lowest gap (first fit) or the tightest gap (best
// fit) left by those already placed that live at the same time. Returns the arena size, or
// `give_up` as soon as it is reached.
int64_t place(std::span<const ArenaBuffer> buffers, std::span<const size_t> order,
              int64_t alignment, bool best_fit, int64_t give_up, std::vector<int64_t>* offsets) {
  struct Placed {
    int64_t offset, end;
    int32_t first, last;
  };
  std::vector<Placed> placed;  // sorted by offset
  placed.reserve(buffers.size());
  int64_t top = 0;
  for (size_t index : order) {
    const ArenaBuffer& b = buffers[index];
    const int64_t size = align_up(b.bytes, alignment);
    int64_t cursor = 0, chosen = -1, chosen_gap = INT64_MAX;
    if (size > 0) {
      for (const Placed& p : placed) {
        if (p.last < b.first || b.last < p.first) continue;
        const int64_t gap = p.offset - cursor;
        if (gap >= size && gap < chosen_gap) {
          chosen = cursor;
          chosen_gap = gap;
          if (!best_fit) break;
        }
        cursor = std::max(cursor, p.end);
      }
      if (chosen < 0) chosen = cursor;
      const Placed entry{chosen, chosen + size, b.first, b.last};
      placed.insert(std::upper_bound(placed.begin(), placed.end(), entry,
                                     [](const Placed& a, const Placed& c) {
                                       return a.offset < c.offset;
                                     }),
                    entry);
    } else {
      chosen = 0;
    }
    (*offsets)[index] = chosen;
    top = std::max(top, chosen + size);
    if (top >= give_up) return give_up;
  }
  return top;
}

}  // namespace

ArenaLayout assign_offsets(std::span<ArenaBuffer> buffers, int64_t alignment) {
  ArenaLayout layout;
  layout.lower_bound = live_lower_bound(buffers, alignment);
  std::vector<size_t> order(buffers.size());
  std::vector<int64_t> offsets(buffers.size()), best(buffers.size());
  layout.bytes = INT64_MAX;

  const auto length = [&](size_t i) { return int64_t{buffers[i].last} - buffers[i].first; };
  const auto attempt = [&](auto less) {
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), less);
    for (bool best_fit : {true, false}) {
      if (layout.bytes == layout.lower_bound) return;
      const int64_t bytes = place(buffers, order, alignment, best_fit, layout.bytes, &offsets);
      if (bytes < layout.bytes) {
        layout.bytes = bytes;
        best = offsets;
      }
    }
  };
  // Largest first is best on transformer blocks; the others win on convolutional pyramids.
  attempt([&](size_t a, size_t b) {
    return buffers[a].bytes != buffers[b].bytes ? buffers[a].bytes > buffers[b].bytes
                                                : length(a) > length(b);
  });
  attempt([&](size_t a, size_t b) { return length(a) > length(b); });
  attempt([&](size_t a, size_t b) {
    return static_cast<double>(buffers[a].bytes) * static_cast<double>(length(a) + 1) >
           static_cast<double>(buffers[b].bytes) * static_cast<double>(length(b) + 1);
  });
  attempt([&](size_t a, size_t b) { return buffers[a].first < buffers[b].first; });
  // Fixed largest-first orders can leave one bad buffer: moving the one that ends highest to the
  // front repairs most of these.
  for (int round = 0; round < 32 && layout.bytes > layout.lower_bound && !buffers.empty(); ++round) {
    size_t highest = 0;
    for (size_t i = 0; i < buffers.size(); ++i)
      if (best[i] + buffers[i].bytes > best[highest] + buffers[highest].bytes) highest = i;
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      if ((a == highest) != (b == highest)) return a == highest;
      return buffers[a].bytes > buffers[b].bytes;
    });
    const int64_t bytes = place(buffers, order, alignment, true, layout.bytes, &offsets);
    if (bytes >= layout.bytes) break;
    layout.bytes = bytes;
    best = offsets;
  }
  if (buffers.empty()) layout.bytes = 0;
  for (size_t i = 0; i < buffers.size(); ++i) buffers[i].offset = best[i];
  return layout;
}

}  // namespace zoetrope
