// Sums and maxima over the threads that share a row.
#pragma once

#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/rows.h"

namespace zoetrope::cuda {

template <int N>
struct Keep {
  static constexpr int value = N;
};
// The chunks that a lane may hold.
template <typename Body>
auto with_keep(int keep, Body&& body) {
  switch (keep) {
    case 1: return body(Keep<1>());
    case 2: return body(Keep<2>());
    case 3: return body(Keep<3>());
    case 4: return body(Keep<4>());
    default: return body(Keep<6>());
  }
}

// Units whose sides are read together, before the first is used: lanes that hold few wait for
// little else, of those that hold many there are enough warps to take turns.
template <int kKeep>
inline constexpr int kTogether = kKeep <= 2 ? kKeep : 1;

// Where a thread stands.
struct RowLane {
  int64_t row;
  int lane, lanes;
  __device__ explicit RowLane(int lanes)
      : lane(static_cast<int>(threadIdx.x) & (lanes - 1)), lanes(lanes) {
    const int bits = __ffs(lanes) - 1;
    row = static_cast<int64_t>(blockIdx.x) * (blockDim.x >> bits) + (threadIdx.x >> bits);
  }
};

// Σ over the lanes of a row, the same in each and in the same order always. Every thread of the
// block calls it.
__device__ inline float2 row_sum(float2 v, int lanes) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    if (step >= lanes) continue;
    v.x += __shfl_xor_sync(0xffffffffu, v.x, step);
    v.y += __shfl_xor_sync(0xffffffffu, v.y, step);
  }
  if (lanes <= 32) return v;
  __shared__ float2 parts[32];
  const int warp = static_cast<int>(threadIdx.x) / 32, warps = lanes / 32;
  __syncthreads();  // the last sum has been read
  if (threadIdx.x % 32 == 0) parts[warp] = v;
  __syncthreads();
  const int first = warp & ~(warps - 1);
  float2 sum{0, 0};
#pragma unroll 1
  for (int w = 0; w < warps; ++w) {
    sum.x += parts[first + w].x;
    sum.y += parts[first + w].y;
  }
  return sum;
}
__device__ inline float row_sum(float v, int lanes) { return row_sum(make_float2(v, 0), lanes).x; }

// The largest of the lanes' values that is a number.
__device__ inline float row_max(float v, int lanes) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    if (step < lanes) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
  if (lanes <= 32) return v;
  __shared__ float parts[32];
  const int warp = static_cast<int>(threadIdx.x) / 32, warps = lanes / 32;
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[warp] = v;
  __syncthreads();
  const int first = warp & ~(warps - 1);
#pragma unroll 1
  for (int w = 0; w < warps; ++w) v = fmaxf(v, parts[first + w]);
  return v;
}

// Calls body(unit, slot) for the units of this lane; slots where it holds kKeep of them.
template <int kKeep, typename Body>
__device__ inline void each_unit(const RowLane& at, int units, Body&& body) {
  if constexpr (kKeep > 0) {
#pragma unroll
    for (int k = 0; k < kKeep; ++k)
      if (const int u = at.lane + k * at.lanes; u < units) body(u, k);
  } else {
    for (int u = at.lane; u < units; u += at.lanes) body(u, 0);
  }
}

// This lane's chunks of a row, all under way at once; zeros beyond its end.
template <int kKeep, typename T>
__device__ inline void load_units(const T* row, const RowLane& at, int units, uint4 (&to)[kKeep]) {
  const T* own = row + at.lane * kChunk<T>;
  const int step = at.lanes * kChunk<T>;
#pragma unroll
  for (int k = 0; k < kKeep; ++k) {
    to[k] = {};
    if (at.lane + k * at.lanes < units) to[k] = *reinterpret_cast<const uint4*>(own + k * step);
  }
}

// Chunks of a side of S, which moves along the row, from this lane's unit `first` on; `otherwise`
// where it is absent or the row has ended.
template <typename S, int kCount, int N>
__device__ inline void load_side(const SideParams& side, int64_t base, float otherwise,
                                 const RowLane& at, int units, int first, float (&to)[kCount][N]) {
#pragma unroll
  for (int k = 0; k < kCount; ++k)
#pragma unroll
    for (int i = 0; i < N; ++i) to[k][i] = otherwise;
  if (side.data == nullptr) return;
  const S* own = static_cast<const S*>(side.data) + base + at.lane * N;
#pragma unroll
  for (int k = 0; k < kCount; ++k)
    if (const int skip = (first + k) * at.lanes; at.lane + skip < units)
      load_chunk(own + skip * N, to[k]);
}

// The same of a side whose dtype only the call knows.
template <int kCount, int N>
__device__ inline void load_any_side(const SideParams& side, int64_t base, float otherwise,
                                     const RowLane& at, int units, int first,
                                     float (&to)[kCount][N]) {
  switch (side.dtype) {
    case DType::kF16: return load_side<__half>(side, base, otherwise, at, units, first, to);
    case DType::kBF16: return load_side<__nv_bfloat16>(side, base, otherwise, at, units, first, to);
    default: return load_side<float>(side, base, otherwise, at, units, first, to);
  }
}

}  // namespace zoetrope::cuda
