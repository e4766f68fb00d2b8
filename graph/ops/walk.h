// Dimensions merged where all operands step through them alike: what backends walk instead of a
// tensor's own.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <vector>

#include "graph/ops/common.h"
#include "graph/shape.h"

namespace zoetrope::ops {

template <size_t N>
struct Walk {
  std::vector<int64_t> extents;  // at least one
  std::array<std::vector<int64_t>, N> strides;

  Walk(const Shape& shape, const std::array<Strides, N>& steps) {
    for (int d = 0; d < shape.rank(); ++d) {
      if (shape[d] == 1) continue;
      const auto axis = static_cast<size_t>(d);
      bool merge = !extents.empty();
      for (size_t k = 0; k < N && merge; ++k)
        merge = strides[k].back() == steps[k][axis] * shape[d];
      if (merge)
        extents.back() *= shape[d];
      else
        extents.push_back(shape[d]);
      for (size_t k = 0; k < N; ++k) {
        if (merge) strides[k].pop_back();
        strides[k].push_back(steps[k][axis]);
      }
    }
    if (!extents.empty()) return;
    extents.push_back(1);
    for (auto& list : strides) list.push_back(0);
  }

  uint32_t rank() const { return static_cast<uint32_t>(extents.size()); }
  int64_t step(size_t k) const { return strides[k].back(); }  // along the last dimension

  // Elements along the last dimension that can be read as one, up to `most`: each operand steps by
  // one from multiples of them, or stands still. A single dimension may end in a part.
  uint32_t chunk(uint32_t most) const {
    int64_t n = most;
    for (const auto& list : strides) {
      if (list.back() != 0 && list.back() != 1) return 1;
      for (size_t d = 0; list.back() == 1 && d + 1 < list.size(); ++d)
        while (list[d] % n != 0) n /= 2;
    }
    while (extents.size() > 1 && extents.back() % n != 0) n /= 2;
    return n < 4 ? 1 : static_cast<uint32_t>(n);
  }

  // Elements that runs along the last dimension allow to move as one: a power of two up to `most`
  // that divides every extent, stride and base involved.
  int64_t run(int64_t most, std::initializer_list<int64_t> bases) const {
    int64_t n = most;
    const auto limit = [&](int64_t value) {
      while (n > 1 && value % n != 0) n /= 2;
    };
    limit(extents.back());
    for (int64_t base : bases) limit(base);
    for (const auto& list : strides) {
      if (list.back() != 1) return 1;
      for (size_t d = 0; d + 1 < list.size(); ++d) limit(list[d]);
    }
    return n;
  }
  // Counts in units of `n` elements along the last dimension.
  void merge_runs(int64_t n) {
    extents.back() /= n;
    for (auto& list : strides)
      for (size_t d = 0; d + 1 < list.size(); ++d) list[d] /= n;
  }
};

}  // namespace zoetrope::ops
