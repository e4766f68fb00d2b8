// What device code shares: conversions between f32 and the compute dtypes.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "graph/dtype.h"

namespace zoetrope::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

// Rounded to nearest even.
template <typename T>
__device__ inline T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// Calls body(T()) with the C++ type of a compute dtype (f32, f16, bf16).
template <typename Body>
auto with_compute_type(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kF16: return body(__half());
    case DType::kBF16: return body(__nv_bfloat16());
    default: return body(float());
  }
}

}  // namespace zoetrope::cuda
