#include "runtime/plan/arena.h"

#include <algorithm>
#include <numeric>

#include "graph/philox.h"

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

// How one buffer chooses among the gaps left by those already placed that live at the same time.
enum class Fit : uint8_t {
  kFirst,  // the lowest gap
  kBest,   // the tightest gap
  kTop,    // the upper end of the highest gap below the limit
};

// Places buffers in the given order. Returns the end of the highest buffer, or `limit` as soon as
// one reaches it.
int64_t place(std::span<const ArenaBuffer> buffers, std::span<const size_t> order,
              std::span<const Fit> fits, int64_t alignment, int64_t limit,
              std::vector<int64_t>* offsets) {
  struct Placed {
    int64_t offset, end;
    int32_t first, last;
  };
  std::vector<Placed> placed;  // sorted by offset
  placed.reserve(buffers.size());
  const int64_t ceiling = (limit - 1) / alignment * alignment;
  int64_t top = 0;
  for (size_t index : order) {
    const ArenaBuffer& b = buffers[index];
    const int64_t size = align_up(b.bytes, alignment);
    const Fit fit = fits[index];
    int64_t cursor = 0, chosen = -1, chosen_gap = INT64_MAX;
    if (size == 0) {
      (*offsets)[index] = 0;
      continue;
    }
    for (const Placed& p : placed) {
      if (p.last < b.first || b.last < p.first) continue;
      const int64_t gap = p.offset - cursor;
      if (gap >= size && (fit != Fit::kBest || gap < chosen_gap)) {
        chosen = fit == Fit::kTop ? p.offset - size : cursor;
        chosen_gap = gap;
        if (fit == Fit::kFirst) break;
      }
      cursor = std::max(cursor, p.end);
    }
    if (fit == Fit::kTop && ceiling - cursor >= size) chosen = ceiling - size;
    if (chosen < 0) chosen = cursor;
    const Placed entry{chosen, chosen + size, b.first, b.last};
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), entry,
                         [](const Placed& a, const Placed& c) { return a.offset < c.offset; }),
        entry);
    (*offsets)[index] = chosen;
    top = std::max(top, chosen + size);
    if (top >= limit) return limit;
  }
  return top;
}

// What the search has found so far.
struct Best {
  int64_t bytes = INT64_MAX;
  std::vector<int64_t> offsets;
};

// Tries to fit everything under ever lower limits, in the order of time, each buffer at the bottom
// or at the top: an alternation that convolutional pyramids need, where neighbours differ a little
// in size. Deterministic, and bounded in work.
void improve(std::span<const ArenaBuffer> buffers, int64_t alignment, int64_t lower_bound,
             Best* best) {
  const size_t n = buffers.size();
  if (n < 3 || best->bytes == lower_bound) return;
  std::vector<size_t> order(n);
  std::vector<Fit> fits(n), kept(n);
  std::vector<int64_t> offsets(n);
  constexpr int64_t kWork = 100'000'000;  // comparisons of two buffers: about 0.1 s
  const int64_t rounds = std::min<int64_t>(3000, kWork / static_cast<int64_t>(n * n));
  for (int64_t round = 0; round < rounds && best->bytes > lower_bound; ++round) {
    const PhiloxBlock random = philox_block(0, 0, static_cast<uint64_t>(round));
    // Long-lived buffers first, the rest in the order of time; or all in the order of time.
    std::iota(order.begin(), order.end(), size_t{0});
    const int32_t longest = static_cast<int32_t>(1 + random[3] % 24);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      const bool long_a = buffers[a].last - buffers[a].first >= longest;
      const bool long_b = buffers[b].last - buffers[b].first >= longest;
      if (long_a != long_b) return long_a;
      return buffers[a].first < buffers[b].first;
    });
    if (round == 0) {
      // Every second one from the top.
      for (size_t k = 0; k < n; ++k) kept[order[k]] = k % 2 ? Fit::kTop : Fit::kFirst;
    }
    fits = kept;
    const size_t changes = round == 0 ? 0 : 1 + random[1] % std::max<size_t>(1, n / 8);
    for (size_t k = 0; k < changes; ++k) {
      const uint32_t word = philox_block(1, static_cast<uint64_t>(round), k)[0];
      fits[word % n] = static_cast<Fit>(word / n % 3);
    }
    // Aim at the bound first, and for what is only better than the best every second time.
    const int64_t limit =
        round % 2 ? best->bytes
                  : lower_bound + 1 +
                        (best->bytes - lower_bound - 1) * static_cast<int64_t>(random[2] % 64) / 64;
    const int64_t bytes = place(buffers, order, fits, alignment, limit, &offsets);
    if (bytes >= limit) continue;
    *best = {bytes, offsets};
    kept = fits;
  }
}

}  // namespace

ArenaLayout assign_offsets(std::span<ArenaBuffer> buffers, int64_t alignment) {
  ArenaLayout layout;
  layout.lower_bound = live_lower_bound(buffers, alignment);
  std::vector<size_t> order(buffers.size());
  Best best;
  std::vector<int64_t> offsets(buffers.size());

  const auto length = [&](size_t i) { return int64_t{buffers[i].last} - buffers[i].first; };
  const auto attempt = [&](auto less) {
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), less);
    for (Fit fit : {Fit::kBest, Fit::kFirst}) {
      if (best.bytes == layout.lower_bound) return;
      const std::vector<Fit> fits(buffers.size(), fit);
      const int64_t bytes = place(buffers, order, fits, alignment, best.bytes, &offsets);
      if (bytes < best.bytes) best = {bytes, offsets};
    }
  };
  // Largest first is best on transformer blocks; the others win elsewhere.
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
  improve(buffers, alignment, layout.lower_bound, &best);
  layout.bytes = buffers.empty() ? 0 : best.bytes;
  for (size_t i = 0; i < buffers.size(); ++i) buffers[i].offset = best.offsets[i];
  return layout;
}

void spread_offsets(std::span<ArenaBuffer> buffers, const ArenaLayout& layout, int64_t alignment,
                    int64_t most_bytes, int32_t distance) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return buffers[a].first < buffers[b].first; });
  std::vector<std::pair<int64_t, int64_t>> taken;  // begin, end
  for (const size_t index : order) {
    ArenaBuffer& b = buffers[index];
    const int64_t size = align_up(b.bytes, alignment);
    if (size == 0 || b.bytes > most_bytes) continue;
    taken.clear();
    bool crowded = false;
    for (const ArenaBuffer& other : buffers) {
      if (&other == &b || other.bytes == 0) continue;
      if (other.last < b.first - distance || other.first > b.last + distance) continue;
      const int64_t end = other.offset + align_up(other.bytes, alignment);
      taken.emplace_back(other.offset, end);
      crowded = crowded || (other.offset < b.offset + size && b.offset < end);
    }
    if (!crowded) continue;
    std::sort(taken.begin(), taken.end());
    int64_t cursor = 0;
    for (const auto& [begin, end] : taken) {
      if (begin - cursor >= size) break;
      cursor = std::max(cursor, end);
    }
    if (cursor + size <= layout.bytes) b.offset = cursor;
  }
}

}  // namespace zoetrope
