// Walks tensors row by row where operands broadcast or are permuted: dimensions that all operands
// step through alike are merged, the last one becomes the row.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "graph/ops/common.h"
#include "graph/shape.h"

namespace zoetrope::cpu {

template <size_t N>
struct Walk {
  Shape shape;  // merged; at least one dimension
  std::array<ops::Strides, N> strides{};

  Walk(const Shape& full, const std::array<ops::Strides, N>& steps) {
    for (int d = 0; d < full.rank(); ++d) {
      if (full[d] == 1) continue;
      const int last = shape.rank() - 1;
      bool merge = last >= 0;
      for (size_t n = 0; n < N && merge; ++n)
        merge = strides[n][static_cast<size_t>(last)] == steps[n][static_cast<size_t>(d)] * full[d];
      if (merge) {
        shape[last] *= full[d];
      } else {
        shape.push_back(full[d]);
      }
      for (size_t n = 0; n < N; ++n)
        strides[n][static_cast<size_t>(shape.rank() - 1)] = steps[n][static_cast<size_t>(d)];
    }
    if (shape.rank() == 0) shape.push_back(1);
  }

  int64_t row() const { return shape[-1]; }
  int64_t elements() const { return shape.elements(); }
  int64_t row_step(size_t n) const { return strides[n][static_cast<size_t>(shape.rank() - 1)]; }

  // Calls body(element, offsets, count) for the runs of rows that make up [begin, end) of the
  // row-major elements.
  template <typename Body>
  void for_range(int64_t begin, int64_t end, const Body& body) const {
    std::array<int64_t, kMaxRank> at{};
    std::array<int64_t, N> offsets{};
    int64_t rest = begin;
    const int last = shape.rank() - 1;
    for (int d = last; d >= 0; --d) {
      at[static_cast<size_t>(d)] = rest % shape[d];
      rest /= shape[d];
    }
    for (int d = 0; d <= last; ++d)
      for (size_t n = 0; n < N; ++n)
        offsets[n] += at[static_cast<size_t>(d)] * strides[n][static_cast<size_t>(d)];
    for (int64_t i = begin; i < end;) {
      const auto l = static_cast<size_t>(last);
      const int64_t left = shape[last] - at[l];
      const int64_t count = left < end - i ? left : end - i;
      body(i, offsets, count);
      i += count;
      if (i >= end) return;
      for (size_t n = 0; n < N; ++n) offsets[n] -= at[l] * strides[n][l];
      at[l] = 0;
      for (int d = last - 1; d >= 0; --d) {
        const auto axis = static_cast<size_t>(d);
        for (size_t n = 0; n < N; ++n) offsets[n] += strides[n][axis];
        if (++at[axis] < shape[d]) break;
        at[axis] = 0;
        for (size_t n = 0; n < N; ++n) offsets[n] -= strides[n][axis] * shape[d];
      }
    }
  }
};

// Elements of one task of a cheap elementwise loop: long enough to hide the cost of handing it out.
inline constexpr int64_t kGrain = 16384;

}  // namespace zoetrope::cpu
