// Dimensions merged where all operands step through them alike: what backends walk instead of a
// tensor's own.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>

#include "graph/ops/common.h"
#include "graph/shape.h"

namespace zoetrope::ops {

template <size_t N>
struct Walk {
  Shape extents;  // at least one
  std::array<Strides, N> strides{};

  Walk(const Shape& shape, const std::array<Strides, N>& steps) {
    for (int d = 0; d < shape.rank(); ++d) {
      if (shape[d] == 1) continue;
      const size_t axis = idx(d), last = idx(extents.rank() - 1);
      bool merge = extents.rank() > 0;
      for (size_t k = 0; k < N && merge; ++k) merge = strides[k][last] == steps[k][axis] * shape[d];
      if (merge)
        extents[-1] *= shape[d];
      else
        extents.push_back(shape[d]);
      for (size_t k = 0; k < N; ++k) strides[k][idx(extents.rank() - 1)] = steps[k][axis];
    }
    if (extents.rank() == 0) extents.push_back(1);
  }

  int rank() const { return extents.rank(); }
  int64_t elements() const { return extents.elements(); }
  int64_t step(size_t k) const { return strides[k][idx(rank() - 1)]; }  // along the last dimension

  // Elements along the last dimension that can be read as one, up to `most`: each operand steps by
  // one from multiples of them, or stands still. A single dimension may end in a part.
  uint32_t chunk(uint32_t most) const {
    int64_t n = most;
    for (size_t k = 0; k < N; ++k) {
      if (step(k) != 0 && step(k) != 1) return 1;
      for (int d = 0; step(k) == 1 && d + 1 < rank(); ++d)
        while (strides[k][idx(d)] % n != 0) n /= 2;
    }
    while (rank() > 1 && extents[-1] % n != 0) n /= 2;
    return n < 4 ? 1 : static_cast<uint32_t>(n);
  }

  // Elements that runs along the last dimension allow to move as one: a power of two up to `most`
  // that divides every extent, stride and base involved.
  int64_t run(int64_t most, std::initializer_list<int64_t> bases) const {
    int64_t n = most;
    const auto limit = [&](int64_t value) {
      while (n > 1 && value % n != 0) n /= 2;
    };
    limit(extents[-1]);
    for (int64_t base : bases) limit(base);
    for (size_t k = 0; k < N; ++k) {
      if (step(k) != 1) return 1;
      for (int d = 0; d + 1 < rank(); ++d) limit(strides[k][idx(d)]);
    }
    return n;
  }
  // Counts in units of `n` elements along the last dimension.
  void merge_runs(int64_t n) {
    extents[-1] /= n;
    for (size_t k = 0; k < N; ++k)
      for (int d = 0; d + 1 < rank(); ++d) strides[k][idx(d)] /= n;
  }

  // Whether operand k steps by multiples of `n` along all dimensions but one.
  bool steps_by(int64_t n, size_t k, int but) const {
    for (size_t d = 0; d < idx(rank()); ++d)
      if (d != idx(but) && strides[k][d] % n != 0) return false;
    return true;
  }

  // The walk over the other dimensions, which may be none.
  Walk without(std::initializer_list<int> gone) const {
    Walk rest = *this;
    rest.extents = Shape();
    for (int d = 0; d < rank(); ++d) {
      if (std::find(gone.begin(), gone.end(), d) != gone.end()) continue;
      for (size_t k = 0; k < N; ++k) rest.strides[k][idx(rest.rank())] = strides[k][idx(d)];
      rest.extents.push_back(extents[d]);
    }
    return rest;
  }

  // Calls body(element, offsets, count) for the runs along the last dimension that make up
  // [begin, end) of the row-major elements.
  template <typename Body>
  void for_range(int64_t begin, int64_t end, const Body& body) const {
    std::array<int64_t, kMaxRank> at{};
    std::array<int64_t, N> offsets{};
    int64_t rest = begin;
    const int last = rank() - 1;
    for (int d = last; d >= 0; --d) {
      at[idx(d)] = rest % extents[d];
      rest /= extents[d];
    }
    for (int d = 0; d <= last; ++d)
      for (size_t k = 0; k < N; ++k) offsets[k] += at[idx(d)] * strides[k][idx(d)];
    for (int64_t i = begin; i < end;) {
      const size_t l = idx(last);
      const int64_t left = extents[last] - at[l];
      const int64_t count = left < end - i ? left : end - i;
      body(i, offsets, count);
      i += count;
      if (i >= end) return;
      for (size_t k = 0; k < N; ++k) offsets[k] -= at[l] * strides[k][l];
      at[l] = 0;
      for (int d = last - 1; d >= 0; --d) {
        const size_t axis = idx(d);
        for (size_t k = 0; k < N; ++k) offsets[k] += strides[k][axis];
        if (++at[axis] < extents[d]) break;
        at[axis] = 0;
        for (size_t k = 0; k < N; ++k) offsets[k] -= strides[k][axis] * extents[d];
      }
    }
  }
};

// What a reduction keeps of x and what it takes together, both as walks over x.
struct ReductionWalks {
  Walk<1> kept, gone;
};
ReductionWalks reduction_walks(const Shape& x, const Attrs& attrs);

// How two operands (null: absent, and standing still) broadcast to the rows of `shape`, which are
// its dimensions but the last.
struct RowWalk {
  Walk<2> rows;
  std::array<bool, 2> moves{};  // along the last dimension
};
RowWalk row_walk(const Shape& shape, const Shape* a, const Shape* b);

// Strides of x in the order of transpose's output.
Strides transposed_strides(const Shape& x, const Attrs& attrs);

}  // namespace zoetrope::ops
