// Convolutions of any shape, one element of y a thread: neighbours in y read the same channels of x
// (or neighbouring ones, of depthwise convolutions) at a time.
#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/conv.h"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 128;

// The element of x along dimension d that tap k of output o multiplies; -1: none.
template <bool kTransposed>
__device__ int64_t source(const ConvParams& p, int d, int64_t o, int64_t k) {
  int64_t i;
  if constexpr (kTransposed) {
    const int64_t scaled = o + p.pad[d] - k * p.dilation[d];
    if (scaled < 0 || scaled % p.stride[d] != 0) return -1;
    i = scaled / p.stride[d];
  } else {
    i = o * p.stride[d] + k * p.dilation[d] - p.pad[d];
    if (p.replicate >> d & 1) i = min(max(i, int64_t{0}), p.in[d] - 1);
  }
  return i < p.in[d] ? i : -1;
}

template <typename T, int N, bool kTransposed>
__global__ void __launch_bounds__(kThreads)
    conv_kernel(const __grid_constant__ ConvParams p, Divider filters, Divider out2, Divider out1,
                Divider out0) {
  const auto at = static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x;
  uint64_t rest = filters.quotient(at);
  if (rest >= static_cast<uint64_t>(p.positions())) return;
  const auto filter = static_cast<int64_t>(at - rest * filters.d);
  int64_t o[3];
  const auto split = [&](const Divider& by) {
    const uint64_t next = by.quotient(rest);
    const auto index = static_cast<int64_t>(rest - next * by.d);
    rest = next;
    return index;
  };
  o[2] = split(out2), o[1] = split(out1), o[0] = split(out0);

  const int64_t width = p.group_channels();
  const T* x = static_cast<const T*>(p.x) + filter / p.group_filters() * width;
  const T* w = static_cast<const T*>(p.weight) + filter * p.taps() * width;
  float sum = 0;
  for (int64_t kt = 0; kt < p.kernel[0]; ++kt) {
    const int64_t t = source<kTransposed>(p, 0, o[0], kt);
    if (t < 0) continue;
    for (int64_t kh = 0; kh < p.kernel[1]; ++kh) {
      const int64_t h = source<kTransposed>(p, 1, o[1], kh);
      if (h < 0) continue;
      const int64_t row = ((static_cast<int64_t>(rest) * p.in[0] + t) * p.in[1] + h) * p.in[2];
      const T* taps = w + (kt * p.kernel[1] + kh) * p.kernel[2] * width;
      for (int64_t kw = 0; kw < p.kernel[2]; ++kw) {
        const int64_t column = source<kTransposed>(p, 2, o[2], kw);
        if (column < 0) continue;
        const T *a = x + (row + column) * p.channels, *b = taps + kw * width;
        for (int64_t c = 0; c < width; c += N) {
          float av[N], bv[N];
          load_chunk(a + c, av);
          load_chunk(b + c, bv);
#pragma unroll
          for (int e = 0; e < N; ++e) sum = fmaf(av[e], bv[e], sum);
        }
      }
    }
  }
  if (const Side bias{p.bias, p.bias_dtype}) sum += bias.one(filter);
  static_cast<T*>(p.y)[at] = from_float<T>(activate(p.activation, sum));
}

template <typename T, int N, bool kTransposed>
cudaError_t launch(const ConvParams& p, cudaStream_t stream) {
  const int64_t blocks = (p.positions() * p.filters + kThreads - 1) / kThreads;
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  conv_kernel<T, N, kTransposed><<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
      p, Divider(p.filters), Divider(p.out[2]), Divider(p.out[1]), Divider(p.out[0]));
  return cudaGetLastError();
}

template <typename T, int N>
cudaError_t choose_way(const ConvParams& p, cudaStream_t stream) {
  return p.transposed ? launch<T, N, true>(p, stream) : launch<T, N, false>(p, stream);
}

}  // namespace

cudaError_t conv_direct(const ConvParams& p, cudaStream_t stream) {
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    return p.group_channels() % kChunk<T> == 0 ? choose_way<T, kChunk<T>>(p, stream)
                                               : choose_way<T, 1>(p, stream);
  });
}

}  // namespace zoetrope::cuda
