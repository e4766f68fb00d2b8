#include "backends/cuda/kernels/convert.h"

#include <cuda_fp8.h>

#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/common.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256, kPer = 8;

template <__nv_fp8_interpretation_t kFormat>
struct Fp8 {
  __nv_fp8_storage_t bits;
};
__device__ float widen(float x) { return x; }
__device__ float widen(double x) { return static_cast<float>(x); }
__device__ float widen(__half x) { return to_float(x); }
__device__ float widen(__nv_bfloat16 x) { return to_float(x); }
template <__nv_fp8_interpretation_t kFormat>
__device__ float widen(Fp8<kFormat> x) {
  return __half2float(__half(__nv_cvt_fp8_to_halfraw(x.bits, kFormat)));
}

template <typename From, typename To>
__global__ void __launch_bounds__(kThreads)
    convert_kernel(const From* __restrict__ from, To* __restrict__ to, int64_t count) {
  const int64_t base = static_cast<int64_t>(blockIdx.x) * (kThreads * kPer) + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kPer; ++i)
    if (const int64_t at = base + i * kThreads; at < count)
      to[at] = from_float<To>(widen(from[at]));
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    activate_kernel(Activation activation, T* x, int64_t count) {
  constexpr int kVector = 16 / sizeof(T);
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kVector;
  if (at + kVector <= count) {
    uint4 raw = *reinterpret_cast<const uint4*>(x + at);
    T* e = reinterpret_cast<T*>(&raw);
#pragma unroll
    for (int i = 0; i < kVector; ++i) e[i] = from_float<T>(activate(activation, to_float(e[i])));
    *reinterpret_cast<uint4*>(x + at) = raw;
  } else {
    for (int64_t i = at; i < count; ++i) x[i] = from_float<T>(activate(activation, to_float(x[i])));
  }
}

// The finalizer of MurmurHash3.
__device__ uint32_t scramble(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

__device__ float narrow(float x, float) { return x; }
__device__ __half narrow(float x, __half) { return from_float<__half>(x); }
__device__ __nv_bfloat16 narrow(float x, __nv_bfloat16) { return from_float<__nv_bfloat16>(x); }
__device__ __nv_fp8_e4m3 narrow(float x, __nv_fp8_e4m3) { return __nv_fp8_e4m3(x); }
__device__ int8_t narrow(float x, int8_t) { return static_cast<int8_t>(127 * x); }

template <typename T>
__global__ void __launch_bounds__(kThreads) random_kernel(uint32_t seed, T* to, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const float x =
      static_cast<float>(scramble(static_cast<uint32_t>(at) + seed * 0x9e3779b9u)) * 0x1p-31f - 1.f;
  if (at < count) to[at] = narrow(x, T());
}

unsigned blocks_for(int64_t count, int per) {
  return static_cast<unsigned>((count + per - 1) / per);
}

template <typename From>
cudaError_t convert_from(const void* from, DType to_dtype, void* to, int64_t count,
                         cudaStream_t stream) {
  return with_compute_type(to_dtype, [&](auto t) {
    using To = decltype(t);
    convert_kernel<From, To><<<blocks_for(count, kThreads * kPer), kThreads, 0, stream>>>(
        static_cast<const From*>(from), static_cast<To*>(to), count);
    return cudaGetLastError();
  });
}

template <typename T>
cudaError_t launch_random(uint32_t seed, void* to, int64_t count, cudaStream_t stream) {
  random_kernel<T>
      <<<blocks_for(count, kThreads), kThreads, 0, stream>>>(seed, static_cast<T*>(to), count);
  return cudaGetLastError();
}

}  // namespace

cudaError_t convert(DType from_dtype, const void* from, DType to_dtype, void* to, int64_t count,
                    cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  switch (from_dtype) {
    case DType::kF32: return convert_from<float>(from, to_dtype, to, count, stream);
    case DType::kF16: return convert_from<__half>(from, to_dtype, to, count, stream);
    case DType::kBF16: return convert_from<__nv_bfloat16>(from, to_dtype, to, count, stream);
    case DType::kF64: return convert_from<double>(from, to_dtype, to, count, stream);
    case DType::kF8E4M3: return convert_from<Fp8<__NV_E4M3>>(from, to_dtype, to, count, stream);
    case DType::kF8E5M2: return convert_from<Fp8<__NV_E5M2>>(from, to_dtype, to, count, stream);
    default: return cudaErrorInvalidValue;
  }
}

cudaError_t activate_in_place(Activation activation, DType dtype, void* x, int64_t count,
                              cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  return with_compute_type(dtype, [&](auto t) {
    using T = decltype(t);
    activate_kernel<T>
        <<<blocks_for(count, kThreads * 16 / static_cast<int>(sizeof(T))), kThreads, 0, stream>>>(
            activation, static_cast<T*>(x), count);
    return cudaGetLastError();
  });
}

cudaError_t fill_random(DType dtype, uint32_t seed, void* to, int64_t count, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  switch (dtype) {
    case DType::kF32: return launch_random<float>(seed, to, count, stream);
    case DType::kF16: return launch_random<__half>(seed, to, count, stream);
    case DType::kBF16: return launch_random<__nv_bfloat16>(seed, to, count, stream);
    case DType::kF8E4M3: return launch_random<__nv_fp8_e4m3>(seed, to, count, stream);
    case DType::kI8: return launch_random<int8_t>(seed, to, count, stream);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace zoetrope::cuda
