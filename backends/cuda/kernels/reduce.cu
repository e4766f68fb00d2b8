#include "backends/cuda/kernels/reduce.h"

#include "backends/cuda/kernels/rows.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256;
constexpr float kLowest = -INFINITY;

unsigned blocks_for(int64_t count, int per) {
  return static_cast<unsigned>((count + per - 1) / per);
}

// A NaN wins.
__device__ float larger(float a, float b) { return isnan(a) ? a : isnan(b) || b > a ? b : a; }
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

template <typename T>
__global__ void __launch_bounds__(kThreads) reduce_kernel(const ReduceParams p) {
  const int64_t slot =
      static_cast<int64_t>(blockIdx.x) * (kThreads / p.lanes) + threadIdx.x / p.lanes;
  const int lane = static_cast<int>(threadIdx.x) & (p.lanes - 1);
  const int64_t part = slot / p.results, result = slot - part * p.results;
  const bool live = slot < p.results * p.parts;
  const int64_t span = (p.count + p.parts - 1) / p.parts;
  const int64_t begin = part * span, end = live ? min(begin + span, p.count) : begin;
  int64_t at[1];
  p.kept.offsets(static_cast<uint64_t>(result), at);
  float v = lane_value(p, static_cast<const T*>(p.x) + at[0], begin + lane, end, p.lanes);
  v = combine_lanes(v, p.lanes, p.maximum);
  if (!live || lane != 0) return;
  if (p.parts > 1)
    p.workspace[slot] = v;
  else
    static_cast<T*>(p.y)[result] = from_float<T>(v * p.scale);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) finish_kernel(const ReduceParams p) {
  const int64_t result = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (result >= p.results) return;
  float v = p.workspace[result];
  for (int64_t part = 1; part < p.parts; ++part)
    v = combined(p.maximum, v, p.workspace[part * p.results + result]);
  static_cast<T*>(p.y)[result] = from_float<T>(v * p.scale);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) softmax_kernel(const SoftmaxParams p, int lanes) {
  const int64_t column =
      static_cast<int64_t>(blockIdx.x) * (kThreads / lanes) + threadIdx.x / lanes;
  const int lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const int64_t columns = p.outer * p.inner, count = column < columns ? p.count : 0;
  const int64_t outer = column / p.inner, base = outer * p.count * p.inner + column % p.inner;
  const T* x = static_cast<const T*>(p.x) + base;
  T* y = static_cast<T*>(p.y) + base;
  float most = kLowest, sum = 0;
  for (int64_t i = lane; i < count; i += lanes) most = larger(most, to_float(x[i * p.inner]));
  most = combine_lanes(most, lanes, true);
  for (int64_t i = lane; i < count; i += lanes) sum += expf(to_float(x[i * p.inner]) - most);
  sum = combine_lanes(sum, lanes, false);
  for (int64_t i = lane; i < count; i += lanes)
    y[i * p.inner] = from_float<T>(expf(to_float(x[i * p.inner]) - most) / sum);
}

}  // namespace

void plan_reduce(ReduceParams* p, int multiprocessors) {
  // Neighbouring threads read neighbouring elements: of one result, or of neighbouring results.
  const bool rows = p->gone.strides[0][p->gone.rank - 1] == 1;
  p->lanes = 1;
  if (rows || p->results < 32)
    while (p->lanes < 32 && p->lanes < p->count) p->lanes *= 2;
  if (p->lanes == 32 && p->count >= 4096) p->lanes = kThreads;
  // Long reductions to few results are cut, so that they fill the device.
  const int64_t busy = p->results * p->lanes, full = int64_t{1024} * multiprocessors;
  const int64_t most = p->count / (int64_t{16} * p->lanes);
  p->parts = busy < full ? full / (busy > 0 ? busy : 1) : 1;
  if (p->parts > most) p->parts = most;
  if (p->parts < 1) p->parts = 1;
  if (p->parts > 1024) p->parts = 1024;
}

cudaError_t reduce(const ReduceParams& p, cudaStream_t stream) {
  if (p.results == 0) return cudaSuccess;
  with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    reduce_kernel<T>
        <<<blocks_for(p.results * p.parts, kThreads / p.lanes), kThreads, 0, stream>>>(p);
    if (p.parts > 1) finish_kernel<T><<<blocks_for(p.results, kThreads), kThreads, 0, stream>>>(p);
  });
  return cudaGetLastError();
}

cudaError_t softmax(const SoftmaxParams& p, cudaStream_t stream) {
  const int64_t columns = p.outer * p.inner;
  if (columns * p.count == 0) return cudaSuccess;
  int lanes = 1;
  if (p.inner == 1)
    while (lanes < 32 && lanes < p.count) lanes *= 2;
  if ((lanes == 32 && p.count >= 2048) || (p.inner > 1 && columns < 1024 && p.count >= 256))
    lanes = kThreads;
  with_compute_type(p.dtype, [&](auto t) {
    softmax_kernel<decltype(t)>
        <<<blocks_for(columns, kThreads / lanes), kThreads, 0, stream>>>(p, lanes);
  });
  return cudaGetLastError();
}

}  // namespace zoetrope::cuda
