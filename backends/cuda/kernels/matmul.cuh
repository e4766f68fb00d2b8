// What the kernels of matrix products share.
#pragma once

#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/common.cuh"
#include "backends/cuda/kernels/matmul.h"

namespace zoetrope::cuda {

// Elements from the operands' beginnings to product `i` of a and b.
struct ProductOffsets {
  int64_t a, b;
};
__device__ inline ProductOffsets product_offsets(const MatmulParams& p, int64_t i) {
  ProductOffsets at{0, 0};
#pragma unroll
  for (int d = 3; d >= 0; --d) {
    if (p.lead[d] == 1) continue;
    const int64_t index = i % p.lead[d];
    i /= p.lead[d];
    at.a += index * p.lead_a[d];
    at.b += index * p.lead_b[d];
  }
  return at;
}

// Element `at` of a buffer of a compute dtype.
__device__ inline float load_element_f32(const void* data, DType dtype, int64_t at) {
  switch (dtype) {
    case DType::kF16: return to_float(static_cast<const __half*>(data)[at]);
    case DType::kBF16: return to_float(static_cast<const __nv_bfloat16*>(data)[at]);
    default: return static_cast<const float*>(data)[at];
  }
}
__device__ inline float load_bias(const MatmulParams& p, int64_t column) {
  return p.bias == nullptr ? 0.f : load_element_f32(p.bias, p.bias_dtype, column);
}

// Which tile a block computes: columns of kBand tiles of c are walked together, so that blocks that
// run at one time share rows of a and b in L2.
struct TileAt {
  int64_t product;
  int row, column;  // in tiles
};
__device__ inline TileAt tile_at(int64_t block, int tiles_m, int tiles_n) {
  constexpr int kBand = 8;
  const int64_t tiles = static_cast<int64_t>(tiles_m) * tiles_n;
  TileAt at;
  at.product = block / tiles;
  const auto tile = static_cast<int>(block % tiles);
  const int band = tile / (kBand * tiles_n);
  const int height = min(kBand, tiles_m - band * kBand);
  const int within = tile - band * kBand * tiles_n;
  at.row = band * kBand + within % height;
  at.column = within / height;
  return at;
}

}  // namespace zoetrope::cuda
