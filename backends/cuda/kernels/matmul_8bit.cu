// A tile of 64 × 64 a block, 4 × 4 elements a thread. In shared memory i8 lies as words of four
// along the depth, for dot products of four; f8e4m3 as f32.
#include "backends/cuda/kernels/matmul_8bit.h"

#include <cuda_fp8.h>

#include "backends/cuda/kernels/matmul.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256, kTile = 64, kDepth = 32, kSide = 16, kPer = kTile / kSide;
constexpr int kPitch = kTile + 4;

struct Bytes {  // i8
  using Word = int;
  static constexpr int kElements = 4;
  static __device__ int pack(const uint8_t (&e)[4]) {
    return static_cast<int>(e[0] | e[1] << 8 | e[2] << 16 | static_cast<uint32_t>(e[3]) << 24);
  }
  static __device__ void multiply(int a, int b, int* sum) { *sum = __dp4a(a, b, *sum); }
};
struct Floats {  // f8e4m3
  using Word = float;
  static constexpr int kElements = 1;
  static __device__ float pack(const uint8_t (&e)[1]) {
    return __half2float(__half(__nv_cvt_fp8_to_halfraw(e[0], __NV_E4M3)));
  }
  static __device__ void multiply(float a, float b, float* sum) { *sum = fmaf(a, b, *sum); }
};

template <typename Way, typename Out>
__global__ void __launch_bounds__(kThreads)
    matmul_8bit_kernel(const __grid_constant__ Matmul8Params p, int tiles_m, int tiles_n) {
  using Word = typename Way::Word;
  constexpr int kWords = kDepth / Way::kElements;
  __shared__ __align__(16) Word shared_a[kWords * kPitch], shared_b[kWords * kPitch];
  const TileAt at = tile_at(blockIdx.x, tiles_m, tiles_n);
  const int64_t row0 = static_cast<int64_t>(at.row) * kTile,
                column0 = static_cast<int64_t>(at.column) * kTile;
  const auto load = [&](Word* to, const void* from, int64_t first, int64_t rows, int64_t depth) {
#pragma unroll
    for (int i = threadIdx.x; i < kTile * kWords; i += kThreads) {
      const int row = i / kWords, word = i % kWords;
      const int64_t left = first + row < rows ? p.k - depth - word * Way::kElements : 0;
      const auto* source =
          static_cast<const uint8_t*>(from) + (first + row) * p.k + depth + word * Way::kElements;
      uint8_t e[Way::kElements];
#pragma unroll
      for (int j = 0; j < Way::kElements; ++j) e[j] = j < left ? source[j] : 0;
      to[word * kPitch + row] = Way::pack(e);
    }
  };
  const int tx = threadIdx.x % kSide, ty = threadIdx.x / kSide;
  Word sum[kPer][kPer] = {};
  for (int64_t depth = 0; depth < p.k; depth += kDepth) {
    load(shared_a, p.a, row0, p.m, depth);
    load(shared_b, p.b, column0, p.n, depth);
    __syncthreads();
#pragma unroll 8
    for (int word = 0; word < kWords; ++word) {
      Word a[kPer], b[kPer];
      *reinterpret_cast<float4*>(a) =
          *reinterpret_cast<const float4*>(&shared_a[word * kPitch + ty * kPer]);
      *reinterpret_cast<float4*>(b) =
          *reinterpret_cast<const float4*>(&shared_b[word * kPitch + tx * kPer]);
#pragma unroll
      for (int i = 0; i < kPer; ++i)
#pragma unroll
        for (int j = 0; j < kPer; ++j) Way::multiply(a[i], b[j], &sum[i][j]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    const int64_t row = row0 + ty * kPer + i;
    if (row >= p.m) continue;
    const float row_scale = p.a_scales[row];
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      const int64_t column = column0 + tx * kPer + j;
      if (column >= p.n) continue;
      float x = static_cast<float>(sum[i][j]) * (row_scale * p.b_scales[column]);
      if (p.bias != nullptr) x += load_element_f32(p.bias, p.bias_dtype, column);
      static_cast<Out*>(p.c)[row * p.n + column] = from_float<Out>(x);
    }
  }
}

template <typename Way>
cudaError_t launch(const Matmul8Params& p, cudaStream_t stream) {
  const int64_t tiles_m = (p.m + kTile - 1) / kTile, tiles_n = (p.n + kTile - 1) / kTile;
  if (tiles_m * tiles_n == 0) return cudaSuccess;
  if (tiles_m * tiles_n > INT32_MAX) return cudaErrorInvalidValue;
  return with_compute_type(p.out, [&](auto out) {
    matmul_8bit_kernel<Way, decltype(out)>
        <<<static_cast<unsigned>(tiles_m * tiles_n), kThreads, 0, stream>>>(
            p, static_cast<int>(tiles_m), static_cast<int>(tiles_n));
    return cudaGetLastError();
  });
}

}  // namespace

cudaError_t matmul_8bit(const Matmul8Params& p, cudaStream_t stream) {
  return p.dtype == DType::kI8 ? launch<Bytes>(p, stream) : launch<Floats>(p, stream);
}

}  // namespace zoetrope::cuda
