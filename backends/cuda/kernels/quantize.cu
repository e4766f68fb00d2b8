// A block takes a row; what it reads first stays in registers, so that a row is read once.
#include "backends/cuda/kernels/quantize.h"

#include <cuda_fp8.h>

#include "backends/cuda/kernels/common.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256, kPer = 8, kHeld = 4;  // chunks of kPer elements that a thread keeps

template <typename T>
__device__ void load_chunk(const T* from, float (&to)[kPer]) {
  if constexpr (sizeof(T) == 4) {
    *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(from);
    *reinterpret_cast<float4*>(to + 4) = *reinterpret_cast<const float4*>(from + 4);
  } else {
    const uint4 raw = *reinterpret_cast<const uint4*>(from);
    const T* e = reinterpret_cast<const T*>(&raw);
#pragma unroll
    for (int i = 0; i < kPer; ++i) to[i] = to_float(e[i]);
  }
}

__device__ uint8_t narrow(float x, int8_t) {
  return static_cast<uint8_t>(static_cast<int8_t>(max(-127, min(127, __float2int_rn(x)))));
}
__device__ uint8_t narrow(float x, __nv_fp8_e4m3) {
  return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
}

// The largest of the block's values, in every thread.
__device__ float block_max(float value) {
  __shared__ float shared[kThreads / 32];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(~0u, value, step));
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[0];
#pragma unroll
  for (int i = 1; i < kThreads / 32; ++i) value = fmaxf(value, shared[i]);
  return value;
}

template <typename T, typename Out>
__global__ void __launch_bounds__(kThreads)
    quantize_rows_kernel(const __grid_constant__ QuantizeRowsParams p, float largest) {
  const int64_t row = blockIdx.x;
  const T* x = static_cast<const T*>(p.x) + row * p.width;
  uint8_t* q = static_cast<uint8_t*>(p.q) + row * p.width;
  const bool chunks = p.width % kPer == 0;
  const auto load = [&](int64_t at, float(&v)[kPer]) {
    if (chunks && at < p.width) {
      load_chunk(x + at, v);
    } else {
#pragma unroll
      for (int i = 0; i < kPer; ++i) v[i] = at + i < p.width ? to_float(x[at + i]) : 0.f;
    }
  };
  constexpr int64_t kStep = kThreads * kPer;
  const int64_t first = threadIdx.x * kPer;

  float held[kHeld][kPer];
  float most = 0;
#pragma unroll
  for (int c = 0; c < kHeld; ++c) {
    if (first + c * kStep >= p.width) break;
    load(first + c * kStep, held[c]);
#pragma unroll
    for (int i = 0; i < kPer; ++i) most = fmaxf(most, fabsf(held[c][i]));
  }
  for (int64_t at = first + kHeld * kStep; at < p.width; at += kStep) {
    float v[kPer];
    load(at, v);
#pragma unroll
    for (int i = 0; i < kPer; ++i) most = fmaxf(most, fabsf(v[i]));
  }
  most = block_max(most);
  // Every operation rounded once: all backends give the same bits.
  const bool nothing = most < 0x1p-100f;
  const float factor = nothing ? 0.f : __fdiv_rn(largest, most);
  if (threadIdx.x == 0) p.scales[row] = nothing ? 0.f : __fdiv_rn(most, largest);

  const auto store = [&](int64_t at, const float(&v)[kPer]) {
    uint8_t bytes[kPer];
#pragma unroll
    for (int i = 0; i < kPer; ++i) bytes[i] = narrow(__fmul_rn(v[i], factor), Out());
    if (chunks) {
      *reinterpret_cast<uint2*>(q + at) = *reinterpret_cast<const uint2*>(bytes);
    } else {
      for (int i = 0; i < kPer && at + i < p.width; ++i) q[at + i] = bytes[i];
    }
  };
#pragma unroll
  for (int c = 0; c < kHeld; ++c)
    if (first + c * kStep < p.width) store(first + c * kStep, held[c]);
  for (int64_t at = first + kHeld * kStep; at < p.width; at += kStep) {
    float v[kPer];
    load(at, v);
    store(at, v);
  }
}

}  // namespace

cudaError_t quantize_rows(const QuantizeRowsParams& p, cudaStream_t stream) {
  if (p.rows == 0) return cudaSuccess;
  if (p.rows > INT32_MAX) return cudaErrorInvalidValue;
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    const auto blocks = static_cast<unsigned>(p.rows);
    if (p.out == DType::kI8)
      quantize_rows_kernel<T, int8_t><<<blocks, kThreads, 0, stream>>>(p, 127.f);
    else
      quantize_rows_kernel<T, __nv_fp8_e4m3><<<blocks, kThreads, 0, stream>>>(p, 448.f);
    return cudaGetLastError();
  });
}

}  // namespace zoetrope::cuda
