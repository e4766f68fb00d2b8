// Rows as 8-bit numbers with a factor: what quantize_rows and the ops that are fused with it share.
#pragma once

#include <cuda_fp8.h>
#include <cfloat>

#include "backends/cuda/kernels/common.cuh"

namespace zoetrope::cuda {

// max(most, |x|); NaN stays.
__device__ inline float larger(float most, float x) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(most), "f"(fabsf(x)));
  return result;
}
// For maxima that lose NaN.
__device__ inline float nan_as_infinity(float most) { return most <= FLT_MAX ? most : INFINITY; }

// Every operation rounded once: all backends give the same bits.
struct RowFactors {
  float narrow, widen;  // x · narrow is rounded; x ≈ q · widen
  bool broken;          // a number of the row is none: q is 0 and widen NaN

  __device__ RowFactors(float most, float largest) {
    const bool nothing = most < 0x1p-100f;
    broken = !(most <= FLT_MAX);
    narrow = nothing ? 0.f : __fdiv_rn(largest, most);
    widen = broken ? __int_as_float(0x7fc00000) : nothing ? 0.f : __fdiv_rn(most, largest);
  }
};

template <typename Q>
inline constexpr float kLargest = 127;
template <>
inline constexpr float kLargest<__nv_fp8_e4m3> = 448;

__device__ inline uint8_t narrow(float x, int8_t) {
  return static_cast<uint8_t>(static_cast<int8_t>(max(-127, min(127, __float2int_rn(x)))));
}
__device__ inline uint8_t narrow(float x, __nv_fp8_e4m3) {
  return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
}

// Four neighbours, the first in the lowest byte.
template <typename Q>
__device__ inline uint32_t narrow_4(const float* x, float factor) {
  if constexpr (sizeof(Q) == 1 && kLargest<Q> == 448) {
    const auto pair = [&](int i) -> uint32_t {
      return __nv_cvt_float2_to_fp8x2(
          make_float2(__fmul_rn(x[i], factor), __fmul_rn(x[i + 1], factor)), __NV_SATFINITE,
          __NV_E4M3);
    };
    return pair(0) | pair(2) << 16;
  } else {
    uint32_t word = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      word |= static_cast<uint32_t>(narrow(__fmul_rn(x[i], factor), Q())) << 8 * i;
    return word;
  }
}

template <typename Q>
__device__ inline uint2 narrow_8(const float* x, float factor) {
  return make_uint2(narrow_4<Q>(x, factor), narrow_4<Q>(x + 4, factor));
}

// N numbers (4 or 8) at `to`, which is aligned to as many bytes.
template <typename Q, int N>
__device__ inline void store_narrow(uint8_t* to, const float (&x)[N], const RowFactors& factors) {
  if constexpr (N == 8)
    *reinterpret_cast<uint2*>(to) =
        factors.broken ? make_uint2(0, 0) : narrow_8<Q>(x, factors.narrow);
  else
    *reinterpret_cast<uint32_t*>(to) = factors.broken ? 0 : narrow_4<Q>(x, factors.narrow);
}

}  // namespace zoetrope::cuda
