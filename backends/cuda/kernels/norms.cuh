// What kernels of norms over the last axis share: a row's statistics, and its units in registers.
#pragma once

#include <type_traits>

#include "backends/cuda/kernels/norms.h"
#include "backends/cuda/kernels/rows.cuh"

namespace zoetrope::cuda {

// Mean and 1/√(variance + ε) of the rows of a block, without a mean for RMS.
struct RowStatistics {
  float mean = 0, rest = 0, factor = 0;
};
// each(body) calls body(v, inside) with the units of this lane; those outside the row are zeros.
// Every thread of the block comes here.
template <int N, typename Each>
__device__ RowStatistics row_statistics(const RowNormParams& p, int lanes, Each&& each) {
  RowStatistics result;
  const float part = reciprocal_of(static_cast<float>(p.width));
  float sum = 0;
  // Two sums a unit: additions of one would wait for one another.
  const auto add = [&](auto&& value) {
    each([&](const float(&v)[N], bool) {
      float parts[2] = {0, 0};
#pragma unroll
      for (int i = 0; i < N; ++i) parts[i % 2] += value(v[i]);
      sum += parts[0] + parts[1];
    });
  };
  if (p.rms)
    add([](float v) { return v * v; });
  else
    add([](float v) { return v; });
  float square = row_sum(sum, lanes) * part;
  if (!p.rms) {
    result.mean = square;
    // Far from zero the mean has lost digits: what is left around it mends it.
    float left = 0, squares = 0;
    each([&](const float(&v)[N], bool inside) {
      const float mean = inside ? result.mean : 0;
      float lefts[2] = {0, 0}, all[2] = {0, 0};
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const float d = v[i] - mean;
        lefts[i % 2] += d;
        all[i % 2] += d * d;
      }
      left += lefts[0] + lefts[1];
      squares += all[0] + all[1];
    });
    const float2 sums = row_sum(make_float2(left, squares), lanes);
    result.rest = sums.x * part;
    square = sums.y * part - result.rest * result.rest;
  }
  result.factor = rsqrtf(square + p.epsilon);
  return result;
}

// The units of a row that a lane holds: as they were read, or, since x + gate·residual is
// normalised before it is rounded, in f32.
template <typename T, int kKeep, bool kResidual>
class KeptUnits {
 public:
  static constexpr int N = kChunk<T>;

  __device__ void load(const RowNormParams& p, const RowLane& at, int units, int64_t base) {
    uint4 x[kKeep];
    load_units(static_cast<const T*>(p.x) + base, at, units, x);
    if constexpr (kResidual)
      add_residual(p, at, units, base, x);
    else
#pragma unroll
      for (int k = 0; k < kKeep; ++k) kept_[k] = x[k];
  }
  __device__ void values(int k, float (&to)[N]) const {
    if constexpr (kResidual) {
#pragma unroll
      for (int i = 0; i < N; ++i) to[i] = kept_[k][i];
    } else {
      unpack<T>(kept_[k], to);
    }
  }

 private:
  __device__ void add_residual(const RowNormParams& p, const RowLane& at, int units, int64_t base,
                               const uint4 (&x)[kKeep]) {
    uint4 residual[kKeep];
    load_units(static_cast<const T*>(p.residual) + base, at, units, residual);
    int64_t g[2] = {0, 0};
    if (p.gate.data != nullptr && units > 0) p.gating.offsets(at.row, g);
    T* sum = static_cast<T*>(p.sum) + base + at.lane * N;
#pragma unroll
    for (int k = 0; k < kKeep; ++k) {
      float gate[1][N], r[N];
      load_any_side(p.gate, g[0], 1, at, units, k, gate);
      unpack<T>(x[k], kept_[k]);
      unpack<T>(residual[k], r);
#pragma unroll
      for (int i = 0; i < N; ++i) kept_[k][i] += gate[0][i] * r[i];
      if (const int skip = k * at.lanes; at.lane + skip < units)
        store_chunk(sum + skip * N, kept_[k]);
    }
  }

  std::conditional_t<kResidual, float[kKeep][N], uint4[kKeep]> kept_;
};

}  // namespace zoetrope::cuda
