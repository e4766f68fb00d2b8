// Elements of a dtype that only the call knows, one at a time: for casts and sources, where it
// costs nothing that counts.
#pragma once

#include <cuda_fp8.h>

#include "backends/cuda/kernels/common.cuh"

namespace zoetrope::cuda {

__device__ inline double load_any(DType dtype, const void* data, int64_t i) {
  switch (dtype) {
    case DType::kF32: return static_cast<const float*>(data)[i];
    case DType::kF16: return to_float(static_cast<const __half*>(data)[i]);
    case DType::kBF16: return to_float(static_cast<const __nv_bfloat16*>(data)[i]);
    case DType::kF64: return static_cast<const double*>(data)[i];
    case DType::kI32: return static_cast<const int32_t*>(data)[i];
    case DType::kI64: return static_cast<double>(static_cast<const int64_t*>(data)[i]);
    case DType::kI8: return static_cast<const int8_t*>(data)[i];
    case DType::kU8:
    case DType::kBool: return static_cast<const uint8_t*>(data)[i];
    case DType::kF8E4M3:
      return __half2float(
          __half(__nv_cvt_fp8_to_halfraw(static_cast<const uint8_t*>(data)[i], __NV_E4M3)));
    case DType::kF8E5M2:
      return __half2float(
          __half(__nv_cvt_fp8_to_halfraw(static_cast<const uint8_t*>(data)[i], __NV_E5M2)));
  }
  return 0;
}

// Toward zero, saturated, NaN to 0.
template <typename T>
__device__ inline T to_integer(double v, double least, double most, T lowest, T highest) {
  return isnan(v) ? T(0) : v <= least ? lowest : v >= most ? highest : static_cast<T>(v);
}

__device__ inline void store_any(DType dtype, void* data, int64_t i, double v) {
  switch (dtype) {
    case DType::kF32: static_cast<float*>(data)[i] = static_cast<float>(v); return;
    case DType::kF16: static_cast<__half*>(data)[i] = __double2half(v); return;
    case DType::kBF16: static_cast<__nv_bfloat16*>(data)[i] = __double2bfloat16(v); return;
    case DType::kF64: static_cast<double*>(data)[i] = v; return;
    case DType::kI32:
      static_cast<int32_t*>(data)[i] =
          to_integer<int32_t>(v, -0x1p31, 0x1p31 - 1, -0x7fffffff - 1, 0x7fffffff);
      return;
    case DType::kI64:
      static_cast<int64_t*>(data)[i] =
          to_integer<int64_t>(v, -0x1p63, 0x1p63, -0x7fffffffffffffffLL - 1, 0x7fffffffffffffffLL);
      return;
    case DType::kI8:
      static_cast<int8_t*>(data)[i] = to_integer<int8_t>(v, -128, 127, -128, 127);
      return;
    case DType::kU8:
      static_cast<uint8_t*>(data)[i] = to_integer<uint8_t>(v, 0, 255, 0, 255);
      return;
    case DType::kBool: static_cast<uint8_t*>(data)[i] = v != 0; return;
    default: return;  // no row asks for it
  }
}

}  // namespace zoetrope::cuda
