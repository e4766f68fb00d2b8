// A block takes a row, a thread eight neighbours at a time: 4 or 8 bytes in, 16 or 32 out.
#include "backends/cuda/kernels/dequantize.h"

#include <algorithm>

#include "backends/cuda/kernels/any_dtype.cuh"
#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/launch.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kMostThreads = 256, kPer = 8;

enum class Stored { kNibbles, kI8, kF8 };

template <Stored kStored>
__device__ float stored_number(const uint8_t* q, int64_t i, float zero) {
  if constexpr (kStored == Stored::kNibbles)
    return static_cast<float>(q[i / 2] >> (i % 2 * 4) & 15) - zero;
  else if constexpr (kStored == Stored::kI8)
    return static_cast<float>(static_cast<int8_t>(q[i]));
  else
    return static_cast<float>(load_any(DType::kF8E4M3, q, i));
}

// kPer of them from i on, a multiple of kPer; q is aligned to what they take.
template <Stored kStored>
__device__ void stored_chunk(const uint8_t* q, int64_t i, float zero, float (&v)[kPer]) {
  if constexpr (kStored == Stored::kNibbles) {
    const uint32_t word = *reinterpret_cast<const uint32_t*>(q + i / 2);
#pragma unroll
    for (int e = 0; e < kPer; ++e) v[e] = static_cast<float>(word >> (4 * e) & 15) - zero;
  } else {
    const uint2 words = *reinterpret_cast<const uint2*>(q + i);
    const auto* bytes = reinterpret_cast<const uint8_t*>(&words);
#pragma unroll
    for (int e = 0; e < kPer; ++e) v[e] = stored_number<kStored>(bytes, e, zero);
  }
}

__device__ float factor_at(DType dtype, const void* data, int64_t i) {
  return Side{data, dtype}.one(i);
}

template <typename T, Stored kStored>
__global__ void __launch_bounds__(kMostThreads)
    dequantize_kernel(const __grid_constant__ DequantizeParams p) {
  wait_for_earlier();
  const int64_t row = blockIdx.x;
  const auto* q = static_cast<const uint8_t*>(p.q) + row * p.row_bytes;
  T* y = static_cast<T*>(p.y) + row * p.columns;
  const bool has_offset = p.offset != nullptr;
  const float zero = kStored == Stored::kNibbles && !has_offset ? 8.f : 0.f;
  const auto scaled = [&](float v, float scale, float offset) {
    v = __fmul_rn(v, scale);
    return has_offset ? __fadd_rn(v, offset) : v;
  };
  // Whole chunks lie in one group, and rows begin at their borders.
  const auto columns = static_cast<uint32_t>(p.columns), group = static_cast<uint32_t>(p.group);
  if (columns % kPer == 0 && group % kPer == 0) {
    for (uint32_t at = threadIdx.x * kPer; at < columns; at += blockDim.x * kPer) {
      const int64_t factor = row * p.groups + at / group;
      const float scale = factor_at(p.scale_dtype, p.scale, factor);
      const float offset = has_offset ? factor_at(p.offset_dtype, p.offset, factor) : 0.f;
      float v[kPer];
      stored_chunk<kStored>(q, at, zero, v);
#pragma unroll
      for (int e = 0; e < kPer; ++e) v[e] = scaled(v[e], scale, offset);
      store_chunk(y + at, v);
    }
    return;
  }
  for (uint32_t at = threadIdx.x; at < columns; at += blockDim.x) {
    const int64_t factor = row * p.groups + at / group;
    const float scale = factor_at(p.scale_dtype, p.scale, factor);
    const float offset = has_offset ? factor_at(p.offset_dtype, p.offset, factor) : 0.f;
    y[at] = from_float<T>(scaled(stored_number<kStored>(q, at, zero), scale, offset));
  }
}

}  // namespace

cudaError_t dequantize(const DequantizeParams& p, cudaStream_t stream) {
  if (p.rows == 0 || p.columns == 0) return cudaSuccess;
  if (p.rows > INT32_MAX || p.columns > INT32_MAX || p.group > INT32_MAX)
    return cudaErrorInvalidValue;
  const int64_t wanted = (p.columns + kPer * 32 - 1) / (kPer * 32) * 32;
  const LaunchShape shape{
      .blocks = static_cast<unsigned>(p.rows),
      .threads = static_cast<unsigned>(std::clamp<int64_t>(wanted, 32, kMostThreads))};
  return with_compute_type(p.out, [&](auto t) {
    using T = decltype(t);
    const auto with = [&](auto kernel) { return launch_early(kernel, shape, stream, p); };
    switch (p.q_dtype) {
      case DType::kU8: return with(dequantize_kernel<T, Stored::kNibbles>);
      case DType::kI8: return with(dequantize_kernel<T, Stored::kI8>);
      default: return with(dequantize_kernel<T, Stored::kF8>);
    }
  });
}

}  // namespace zoetrope::cuda
