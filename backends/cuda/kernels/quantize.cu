// A block takes a row; what it reads first stays in registers, so that a row is read once.
#include "backends/cuda/kernels/quantize.h"

#include <algorithm>

#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/narrow.cuh"
#include "graph/rotation.h"

namespace zoetrope::cuda {
namespace {

constexpr int kMostThreads = 512, kPer = 8, kHeld = 4;  // chunks of kPer elements a thread keeps
static_assert(kPer == kRotation);

// The largest of the block's values, in every thread.
__device__ float block_max(float value) {
  __shared__ float shared[kMostThreads / 32];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(~0u, value, step));
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[0];
  for (unsigned i = 1; i < blockDim.x / 32; ++i) value = fmaxf(value, shared[i]);
  return value;
}

// What is known of the activation when it is compiled: switches cost as much as the activations.
// kPlain: none, and no b; kTurned: likewise, of turned rows.
enum class Known { kPlain, kTurned, kGeluTanh, kSilu, kNothing };

// A block of neighbours, as rotate_row() of graph/rotation.h turns it.
__device__ void rotate(float (&v)[kPer]) {
#pragma unroll
  for (int apart = kPer / 2; apart > 0; apart /= 2)
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      if (i / apart % 2 != 0) continue;
      const float a = v[i], b = v[i + apart];
      v[i] = __fadd_rn(a, b);
      v[i + apart] = __fsub_rn(a, b);
    }
}

template <typename T, typename Q, Known kKnown>
__global__ void __launch_bounds__(kMostThreads, 2)
    quantize_rows_kernel(const __grid_constant__ QuantizeRowsParams p) {
  wait_for_earlier();
  const int64_t row = blockIdx.x, base = row * p.width;
  const T* x = static_cast<const T*>(p.x) + base;
  const T* b = p.b != nullptr ? static_cast<const T*>(p.b) + base : nullptr;
  uint8_t* q = static_cast<uint8_t*>(p.q) + base;
  const bool chunks = p.width % kPer == 0;
  const auto load = [&](const T* from, int64_t at, float(&v)[kPer]) {
    if (chunks && at < p.width) {
      load_chunk(from + at, v);
    } else {
#pragma unroll
      for (int i = 0; i < kPer; ++i) v[i] = at + i < p.width ? to_float(from[at + i]) : 0.f;
    }
  };
  const auto finish = [&](int64_t at, float(&v)[kPer]) {
    if constexpr (kKnown == Known::kTurned) {
      rotate(v);
    } else if constexpr (kKnown != Known::kPlain) {
      constexpr Activation kFixed =
          kKnown == Known::kSilu ? Activation::kSilu : Activation::kGeluTanh;
#pragma unroll
      for (int i = 0; i < kPer; ++i)
        v[i] = activate(kKnown == Known::kNothing ? p.activation : kFixed, v[i]);
      if (b == nullptr) return;
      float factor[kPer];
      load(b, at, factor);
#pragma unroll
      for (int i = 0; i < kPer; ++i) v[i] *= factor[i];
    }
  };
  const int64_t step = int64_t{blockDim.x} * kPer, first = int64_t{threadIdx.x} * kPer;

  float held[kHeld][kPer];
  float most = 0;
#pragma unroll
  for (int c = 0; c < kHeld; ++c)
    if (first + c * step < p.width) load(x, first + c * step, held[c]);
#pragma unroll
  for (int c = 0; c < kHeld; ++c) {
    if (first + c * step >= p.width) break;
    finish(first + c * step, held[c]);
#pragma unroll
    for (int i = 0; i < kPer; ++i) most = larger(most, held[c][i]);
  }
  for (int64_t at = first + kHeld * step; at < p.width; at += step) {
    float v[kPer];
    load(x, at, v);
    finish(at, v);
#pragma unroll
    for (int i = 0; i < kPer; ++i) most = larger(most, v[i]);
  }
  const RowFactors factors(block_max(nan_as_infinity(most)), kLargest<Q>);
  if (threadIdx.x == 0) p.scales[row] = factors.widen;

  const auto store = [&](int64_t at, const float(&v)[kPer]) {
    if (chunks) {
      store_narrow<Q>(q + at, v, factors);
    } else {
      for (int i = 0; i < kPer && at + i < p.width; ++i)
        q[at + i] = factors.broken ? 0 : narrow(__fmul_rn(v[i], factors.narrow), Q());
    }
  };
#pragma unroll
  for (int c = 0; c < kHeld; ++c)
    if (first + c * step < p.width) store(first + c * step, held[c]);
  for (int64_t at = first + kHeld * step; at < p.width; at += step) {
    float v[kPer];
    load(x, at, v);
    finish(at, v);
    store(at, v);
  }
}

}  // namespace

cudaError_t quantize_rows(const QuantizeRowsParams& p, cudaStream_t stream) {
  if (p.rows == 0) return cudaSuccess;
  if (p.rows > INT32_MAX) return cudaErrorInvalidValue;
  // As many threads as hold the row.
  const int64_t wanted = (p.width + kPer * kHeld * 32 - 1) / (kPer * kHeld * 32) * 32;
  const LaunchShape shape{
      .blocks = static_cast<unsigned>(p.rows),
      .threads = static_cast<unsigned>(std::clamp<int64_t>(wanted, 32, kMostThreads))};
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&](auto q) {
      using Q = decltype(q);
      const auto with = [&](auto kernel) { return launch_early(kernel, shape, stream, p); };
      switch (p.activation) {
        case Activation::kNone:
          if (p.rotate) return with(quantize_rows_kernel<T, Q, Known::kTurned>);
          if (p.b == nullptr) return with(quantize_rows_kernel<T, Q, Known::kPlain>);
          break;
        case Activation::kGeluTanh: return with(quantize_rows_kernel<T, Q, Known::kGeluTanh>);
        case Activation::kSilu: return with(quantize_rows_kernel<T, Q, Known::kSilu>);
        default: break;
      }
      return with(quantize_rows_kernel<T, Q, Known::kNothing>);
    };
    return p.out == DType::kI8 ? launch(int8_t()) : launch(__nv_fp8_e4m3());
  });
}

}  // namespace zoetrope::cuda
