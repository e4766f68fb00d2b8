#include "backends/cuda/kernels/reduce.h"

#include <algorithm>

#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/launch.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256;
constexpr float kLowest = -INFINITY;

unsigned blocks_for(int64_t count, int per) {
  return static_cast<unsigned>((count + per - 1) / per);
}

// A NaN wins.
__device__ float larger(float a, float b) {
  float c;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
}
__device__ float combined(bool maximum, float a, float b) { return maximum ? larger(a, b) : a + b; }

// Over the lanes of a result, always in the same order. Every thread of the block calls it.
__device__ float combine_lanes(float v, int lanes, bool maximum) {
  const int within = lanes < 32 ? lanes : 32;
  for (int step = within / 2; step > 0; step /= 2)
    v = combined(maximum, v, __shfl_xor_sync(0xffffffffu, v, step));
  if (lanes <= 32) return v;
  __shared__ float warps[kThreads / 32];
  __syncthreads();
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = v;
  __syncthreads();
  v = warps[0];
  for (int w = 1; w < kThreads / 32; ++w) v = combined(maximum, v, warps[w]);
  return v;
}

// Elements [begin, end) of a result by one lane, summed in pairs of levels so that long sums keep
// their digits.
template <typename T>
__device__ float lane_value(const ReduceParams& p, const T* x, int64_t begin, int64_t end,
                            int64_t step) {
  constexpr int64_t kRun = 64;
  float total = p.maximum ? kLowest : 0;
  for (int64_t i = begin; i < end;) {
    float run = p.maximum ? kLowest : 0;
    for (int64_t n = 0; n < kRun && i < end; ++n, i += step) {
      int64_t at[1];
      p.gone.offsets(static_cast<uint64_t>(i), at);
      run = combined(p.maximum, run, to_float(x[at[0]]));
    }
    total = combined(p.maximum, total, run);
  }
  return total;
}

// The same of elements that lie side by side, in chunks of 16 bytes, several under way at once.
template <typename T>
__device__ float lane_chunks(const ReduceParams& p, const T* x, int64_t begin, int64_t end,
                             int64_t step) {
  constexpr int N = kChunk<T>, kAtOnce = 6;
  float total = p.maximum ? kLowest : 0;
  for (int64_t i = begin; i < end; i += kAtOnce * step) {
    uint4 words[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k)
      if (const int64_t unit = i + k * step; unit < end)
        words[k] = *reinterpret_cast<const uint4*>(x + unit * N);
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      if (i + k * step >= end) continue;
      float v[N];
      unpack<T>(words[k], v);
#pragma unroll
      for (int e = 1; e < N; ++e) v[0] = combined(p.maximum, v[0], v[e]);
      total = combined(p.maximum, total, v[0]);
    }
  }
  return total;
}

template <typename T, bool kChunks>
__global__ void __launch_bounds__(kThreads, 4) reduce_kernel(const ReduceParams p) {
  wait_for_earlier();
  launch_next();
  const int64_t slot =
      static_cast<int64_t>(blockIdx.x) * (kThreads / p.lanes) + threadIdx.x / p.lanes;
  const int lane = static_cast<int>(threadIdx.x) & (p.lanes - 1);
  const int64_t part = slot / p.results, result = slot - part * p.results;
  const bool live = slot < p.results * p.parts;
  const int64_t count = p.count / p.chunk, span = (count + p.parts - 1) / p.parts;
  const int64_t begin = part * span, end = live ? min(begin + span, count) : begin;
  int64_t at[1];
  p.kept.offsets(static_cast<uint64_t>(result), at);
  const T* x = static_cast<const T*>(p.x) + at[0];
  float v = kChunks ? lane_chunks(p, x, begin + lane, end, p.lanes)
                    : lane_value(p, x, begin + lane, end, p.lanes);
  v = combine_lanes(v, p.lanes, p.maximum);
  if (!live || lane != 0) return;
  if (p.parts > 1)
    p.workspace[slot] = v;
  else
    static_cast<T*>(p.y)[result] = from_float<T>(v * p.scale);
}

// Results that lie side by side, a chunk of them a thread, eight rows of the input under way at
// once. A block has `tile` chunks and takes every row of its part `abreast` at a time.
constexpr int kColumnThreads = 512;
struct ColumnLayout {
  int64_t units;
  int tile, abreast, tiles;
};

template <typename T, bool kMaximum>
__global__ void __launch_bounds__(kColumnThreads, 2)
    reduce_columns_kernel(const ReduceParams p, const ColumnLayout g) {
  constexpr int N = kChunk<T>, kRows = 8;
  wait_for_earlier();
  launch_next();
  const int64_t part = blockIdx.x / g.tiles;
  const int slot = static_cast<int>(threadIdx.x) / g.tile;
  const int column = static_cast<int>(threadIdx.x) - slot * g.tile;
  const int64_t unit = static_cast<int64_t>(blockIdx.x % g.tiles) * g.tile + column;
  const bool live = unit < g.units && slot < g.abreast;
  const int64_t span = (p.count + p.parts - 1) / p.parts;
  const int64_t begin = part * span + slot, end = live ? min(part * span + span, p.count) : 0;
  int64_t at[1] = {0};
  if (live) p.kept.offsets(static_cast<uint64_t>(unit) * N, at);
  const int64_t step = p.gone.strides[0][0], ahead = g.abreast * step;
  const T* x = static_cast<const T*>(p.x) + at[0] + begin * step;
  const float none = kMaximum ? kLowest : 0;
  float total[N];
#pragma unroll
  for (int e = 0; e < N; ++e) total[e] = none;
  const auto add = [&](const uint4& word, float(&to)[N]) {
    float v[N];
    unpack<T>(word, v);
#pragma unroll
    for (int e = 0; e < N; ++e) to[e] = combined(kMaximum, to[e], v[e]);
  };
  int64_t i = begin;
  for (; i + (kRows - 1) * g.abreast < end; i += kRows * g.abreast) {
    uint4 rows[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) rows[k] = *reinterpret_cast<const uint4*>(x + k * ahead);
    x += kRows * ahead;
    float run[N];  // long sums keep their digits
    unpack<T>(rows[0], run);
#pragma unroll
    for (int k = 1; k < kRows; ++k) add(rows[k], run);
#pragma unroll
    for (int e = 0; e < N; ++e) total[e] = combined(kMaximum, total[e], run[e]);
  }
  for (; i < end; i += g.abreast, x += ahead) {
    const uint4 row = *reinterpret_cast<const uint4*>(x);
    add(row, total);
  }

  __shared__ float slots[N][kColumnThreads];
#pragma unroll
  for (int e = 0; e < N; ++e) slots[e][threadIdx.x] = total[e];
  __syncthreads();
  if (!live || slot != 0) return;
  for (int s = 1; s < g.abreast; ++s)
#pragma unroll
    for (int e = 0; e < N; ++e)
      total[e] = combined(kMaximum, total[e], slots[e][s * g.tile + column]);
  if (p.parts > 1) {
    store_chunk(p.workspace + part * p.results + unit * N, total);
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e) total[e] *= p.scale;
    store_chunk(static_cast<T*>(p.y) + unit * N, total);
  }
}

// 32 results a block; each of 16 warps has every sixteenth part.
constexpr int kFinishResults = 32, kFinishSlots = 16;
template <typename T>
__global__ void __launch_bounds__(kFinishResults* kFinishSlots)
    finish_kernel(const ReduceParams p) {
  wait_for_earlier();
  const int column = static_cast<int>(threadIdx.x) % kFinishResults;
  const int slot = static_cast<int>(threadIdx.x) / kFinishResults;
  const int64_t result = static_cast<int64_t>(blockIdx.x) * kFinishResults + column;
  float v = p.maximum ? kLowest : 0;
  if (result < p.results)
#pragma unroll 8
    for (int64_t part = slot; part < p.parts; part += kFinishSlots)
      v = combined(p.maximum, v, p.workspace[part * p.results + result]);
  __shared__ float slots[kFinishSlots][kFinishResults];
  slots[slot][column] = v;
  __syncthreads();
  if (slot != 0 || result >= p.results) return;
  for (int s = 1; s < kFinishSlots; ++s) v = combined(p.maximum, v, slots[s][column]);
  static_cast<T*>(p.y)[result] = from_float<T>(v * p.scale);
}

ColumnLayout column_layout(const ReduceParams& p) {
  ColumnLayout g;
  g.units = p.results / p.together;
  g.tiles = static_cast<int>((g.units + kColumnThreads - 1) / kColumnThreads);
  g.tile = static_cast<int>((g.units + g.tiles - 1) / g.tiles);
  g.abreast = kColumnThreads / g.tile;
  return g;
}

// Whether every chunk of results and every step between their inputs is one of 16 bytes.
bool results_in_chunks(const ReduceParams& p, int64_t chunk) {
  const int last = p.kept.rank - 1;
  if (last < 0 || p.gone.rank != 1 || p.gone.strides[0][0] % chunk != 0) return false;
  if (p.kept.strides[0][last] != 1 || static_cast<int64_t>(p.kept.extents[last].d) % chunk != 0)
    return false;
  for (int d = 0; d < last; ++d)
    if (p.kept.strides[0][d] % chunk != 0) return false;
  return true;
}

// Whether the elements of a result lie side by side in chunks.
bool elements_in_chunks(const ReduceParams& p, int64_t chunk) {
  if (p.gone.rank != 1 || p.gone.strides[0][0] != 1 || p.count % chunk != 0) return false;
  for (int d = 0; d < p.kept.rank; ++d)
    if (p.kept.strides[0][d] % chunk != 0) return false;
  return true;
}

}  // namespace

void cut_reduction(ReduceParams* p, int multiprocessors) {
  const int chunk = p->dtype == DType::kF32 ? 4 : 8;
  if (p->results > 0 && p->count > 0 && results_in_chunks(*p, chunk)) {
    p->together = chunk;
    const ColumnLayout g = column_layout(*p);
    p->parts = std::clamp<int64_t>(p->count / (16 * g.abreast), 1,
                                   std::max<int64_t>(2 * multiprocessors / g.tiles, 1));
    return;
  }
  // Neighbouring threads read neighbouring elements: of one result, or of neighbouring results.
  const bool rows = p->gone.strides[0][p->gone.rank - 1] == 1;
  if (elements_in_chunks(*p, chunk)) p->chunk = chunk;
  const int64_t count = p->count / p->chunk;
  p->lanes = 1;
  if (rows || p->results < 32)
    while (p->lanes < 32 && p->lanes < count) p->lanes *= 2;
  if (p->lanes == 32 && count >= 4096 / p->chunk) p->lanes = kThreads;
  // Long reductions to few results are cut, so that they fill the device.
  const int64_t busy = p->results * p->lanes, full = int64_t{1024} * multiprocessors;
  const int64_t most = count / (int64_t{16} * p->lanes);
  p->parts = busy < full ? full / (busy > 0 ? busy : 1) : 1;
  if (p->parts > most) p->parts = most;
  if (p->parts < 1) p->parts = 1;
  if (p->parts > 1024) p->parts = 1024;
}

cudaError_t reduce(const ReduceParams& p, cudaStream_t stream) {
  if (p.results == 0) return cudaSuccess;
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    cudaError_t result;
    if (p.together > 1) {
      const ColumnLayout g = column_layout(p);
      const auto threads = static_cast<unsigned>((g.tile * g.abreast + 31) / 32 * 32);
      result = launch_early(
          p.maximum ? reduce_columns_kernel<T, true> : reduce_columns_kernel<T, false>,
          {.blocks = static_cast<unsigned>(p.parts) * g.tiles, .threads = threads}, stream, p, g);
    } else {
      result = launch_early(
          p.chunk > 1 ? reduce_kernel<T, true> : reduce_kernel<T, false>,
          {.blocks = blocks_for(p.results * p.parts, kThreads / p.lanes), .threads = kThreads},
          stream, p);
    }
    if (result != cudaSuccess || p.parts == 1) return result;
    return launch_early(
        finish_kernel<T>,
        {.blocks = blocks_for(p.results, kFinishResults), .threads = kFinishResults * kFinishSlots},
        stream, p);
  });
}

}  // namespace zoetrope::cuda
