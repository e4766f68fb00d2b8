// How operands step through memory while the elements of a tensor are counted in order.
#pragma once

#include "backends/cuda/kernels/divider.h"

namespace zoetrope::cuda {

// The most dimensions of a tensor.
inline constexpr int kWalkRank = 6;

// Element i of `rank` dimensions lies at Σ position·stride in each of N operands.
template <int N>
struct WalkParams {
  int rank = 0;
  Divider extents[kWalkRank];
  int64_t strides[N][kWalkRank] = {};

#ifdef __CUDACC__
  __device__ void offsets(uint64_t i, int64_t (&at)[N]) const {
#pragma unroll
    for (int k = 0; k < N; ++k) at[k] = 0;
#pragma unroll
    for (int d = kWalkRank - 1; d >= 0; --d) {
      if (d >= rank) continue;
      const uint64_t rest = d == 0 ? 0 : extents[d].quotient(i);
      const auto position = static_cast<int64_t>(i - rest * extents[d].d);
#pragma unroll
      for (int k = 0; k < N; ++k) at[k] += position * strides[k][d];
      i = rest;
    }
  }
#endif
};

}  // namespace zoetrope::cuda
