#include "backends/cuda/kernels/softmax.h"

#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/rows.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kMostThreads = 256, kLongThreads = 512, kColumnThreads = 256;

__device__ float exponential(float v, float most) { return exp2_of((v - most) * kLog2E); }

// Rows that stay in registers, between one read and one write.
template <typename T, int kKeep>
__global__ void __launch_bounds__(kMostThreads, 2)
    kept_softmax_kernel(const SoftmaxParams p, int lanes) {
  constexpr int N = kChunk<T>;
  wait_for_earlier();
  const RowLane at(lanes);
  const int units = at.row < p.outer ? static_cast<int>(p.count) / N : 0;
  uint4 kept[kKeep];
  load_units(static_cast<const T*>(p.x) + at.row * p.count, at, units, kept);
  float most = -INFINITY;
  each_unit<kKeep>(at, units, [&](int, int k) {
    float v[N];
    unpack<T>(kept[k], v);
#pragma unroll
    for (int i = 0; i < N; ++i) most = fmaxf(most, v[i]);
  });
  most = row_max(most, lanes);
  float sum = 0;
  each_unit<kKeep>(at, units, [&](int, int k) {
    float v[N], part = 0;
    unpack<T>(kept[k], v);
#pragma unroll
    for (int i = 0; i < N; ++i) part += exponential(v[i], most);
    sum += part;
  });
  const float factor = 1.f / row_sum(sum, lanes);
  T* y = static_cast<T*>(p.y) + at.row * p.count;
  each_unit<kKeep>(at, units, [&](int u, int k) {
    float v[N];
    unpack<T>(kept[k], v);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = exponential(v[i], most) * factor;
    store_chunk(y + u * N, v);
  });
}

// Rows of whole chunks that registers do not hold: read twice, a block each.
template <typename T>
__global__ void __launch_bounds__(kLongThreads) long_softmax_kernel(const SoftmaxParams p) {
  constexpr int N = kChunk<T>;
  wait_for_earlier();
  const RowLane at(kLongThreads);
  const int units = static_cast<int>(p.count / N);
  const T* x = static_cast<const T*>(p.x) + at.row * p.count;
  T* y = static_cast<T*>(p.y) + at.row * p.count;
  float most = -INFINITY, sum = 0;
#pragma unroll 4
  for (int u = at.lane; u < units; u += kLongThreads) {
    float v[N], largest = most;
    load_chunk(x + u * N, v);
#pragma unroll
    for (int i = 0; i < N; ++i) largest = fmaxf(largest, v[i]);
    if (largest == -INFINITY) continue;  // masked, or no number
    sum *= exponential(most, largest);
    most = largest;
#pragma unroll
    for (int i = 0; i < N; ++i) sum += exponential(v[i], most);
  }
  const float all = row_max(most, kLongThreads);
  const float factor = 1.f / row_sum(sum * exponential(most, all), kLongThreads);
#pragma unroll 4
  for (int u = at.lane; u < units; u += kLongThreads) {
    float v[N];
    load_chunk(x + u * N, v);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = exponential(v[i], all) * factor;
    store_chunk(y + u * N, v);
  }
}

// Along any dimension, an element at a time.
template <typename T>
__global__ void __launch_bounds__(kColumnThreads) softmax_kernel(const SoftmaxParams p, int lanes) {
  wait_for_earlier();
  const RowLane at(lanes);
  const int64_t count = at.row < p.outer * p.inner ? p.count : 0;
  const int64_t outer = at.row / p.inner, base = outer * p.count * p.inner + at.row % p.inner;
  const T* x = static_cast<const T*>(p.x) + base;
  T* y = static_cast<T*>(p.y) + base;
  float most = -INFINITY, sum = 0;
  for (int64_t i = at.lane; i < count; i += lanes) most = fmaxf(most, to_float(x[i * p.inner]));
  most = row_max(most, lanes);
  for (int64_t i = at.lane; i < count; i += lanes)
    sum += exponential(to_float(x[i * p.inner]), most);
  sum = row_sum(sum, lanes);
  for (int64_t i = at.lane; i < count; i += lanes)
    y[i * p.inner] = from_float<T>(exponential(to_float(x[i * p.inner]), most) / sum);
}

}  // namespace

cudaError_t softmax(const SoftmaxParams& p, cudaStream_t stream) {
  const int64_t columns = p.outer * p.inner;
  if (columns * p.count == 0) return cudaSuccess;
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    if (p.inner == 1 && p.count % kChunk<T> == 0) {
      const RowLayout layout = lay_out_rows(p.outer, p.count / kChunk<T>);
      if (layout.keep == 0)
        return launch_early(long_softmax_kernel<T>,
                            {.blocks = static_cast<unsigned>(p.outer), .threads = kLongThreads},
                            stream, p);
      return with_keep(layout.keep, [&](auto keep) {
        return launch_early(
            kept_softmax_kernel<T, decltype(keep)::value>,
            {.blocks = layout.blocks, .threads = static_cast<unsigned>(layout.threads)}, stream, p,
            layout.lanes);
      });
    }
    int lanes = 1;
    if (p.inner == 1)
      while (lanes < 32 && lanes < p.count) lanes *= 2;
    if ((lanes == 32 && p.count >= 2048) || (p.inner > 1 && columns < 1024 && p.count >= 256))
      lanes = kColumnThreads;
    const int64_t a_block = kColumnThreads / lanes;
    return launch_early(softmax_kernel<T>,
                        {.blocks = static_cast<unsigned>((columns + a_block - 1) / a_block),
                         .threads = kColumnThreads},
                        stream, p, lanes);
  });
}

}  // namespace zoetrope::cuda
