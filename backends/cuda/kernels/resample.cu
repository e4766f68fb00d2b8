#include "backends/cuda/kernels/resample.h"

#include "backends/cuda/kernels/rows.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256;

// Positions are fractions of whole numbers, so that they are exact at any size.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    resize_kernel(const ResizeParams p, Divider units, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  uint64_t rest = units.quotient(static_cast<uint64_t>(i));
  const auto channel = (i - static_cast<int64_t>(rest * units.d)) * N;
  int64_t low[4], high[4];
  float fraction[4];
  int64_t stride = p.channels;
#pragma unroll
  for (int d = 3; d >= 0; --d) {
    if (d >= p.spatial) continue;
    const uint64_t next = p.to[d].quotient(rest);
    const auto to = static_cast<int64_t>(p.to[d].d),
               at = static_cast<int64_t>(rest) - static_cast<int64_t>(next) * to;
    const int64_t from = p.from[d];
    int64_t top, bottom;
    if (p.align_corners) {
      top = to > 1 ? at * (from - 1) : 0;
      bottom = to > 1 ? to - 1 : 1;
    } else {
      top = (2 * at + 1) * from - to;
      top = top > 0 ? top : 0;
      bottom = 2 * to;
    }
    int64_t l = top / bottom;
    l = l < from - 1 ? l : from - 1;
    fraction[d] = static_cast<float>(top - l * bottom) / static_cast<float>(bottom);
    low[d] = l * stride;
    high[d] = (l + 1 < from ? l + 1 : from - 1) * stride;
    stride *= from;
    rest = next;
  }
  const T* x = static_cast<const T*>(p.x) + static_cast<int64_t>(rest) * stride + channel;
  float sum[N] = {};
  for (int corner = 0; corner < 1 << p.spatial; ++corner) {
    float weight = 1;
    int64_t at = 0;
#pragma unroll
    for (int d = 0; d < 4; ++d) {
      if (d >= p.spatial) continue;
      const bool up = corner >> d & 1;
      weight *= up ? fraction[d] : 1.f - fraction[d];
      at += up ? high[d] : low[d];
    }
    float v[N];
    load_chunk(x + at, v);
#pragma unroll
    for (int e = 0; e < N; ++e) sum[e] += weight * v[e];
  }
  store_chunk(static_cast<T*>(p.y) + i * N, sum);
}

}  // namespace

cudaError_t resize_linear(const ResizeParams& p, cudaStream_t stream) {
  if (p.count == 0) return cudaSuccess;
  with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&](auto chunk) {
      constexpr int N = decltype(chunk)::value;
      const int64_t count = p.count / N;
      resize_kernel<T, N>
          <<<static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream>>>(
              p, Divider(p.channels / N), count);
    };
    if (p.channels % kChunk<T> == 0)
      launch(Keep<kChunk<T>>());
    else
      launch(Keep<1>());
  });
  return cudaGetLastError();
}

}  // namespace zoetrope::cuda
