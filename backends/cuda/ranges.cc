#include "backends/cuda/ranges.h"

#include <algorithm>

namespace zoetrope::cuda {

void Ranges::add(const char* begin, int64_t bytes) {
  if (bytes > 0) ranges_.push_back({begin, begin + bytes});
}

bool Ranges::overlaps(const char* begin, int64_t bytes) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    return bytes > 0 && range.begin < begin + bytes && begin < range.end;
  });
}

bool Ranges::overlap(const Ranges& other) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    return other.overlaps(range.begin, range.end - range.begin);
  });
}

void Ranges::merge() {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::vector<Range> joined;
  for (const Range& range : ranges_) {
    if (!joined.empty() && range.begin <= joined.back().end)
      joined.back().end = std::max(joined.back().end, range.end);
    else
      joined.push_back(range);
  }
  ranges_ = std::move(joined);
}

}  // namespace zoetrope::cuda
