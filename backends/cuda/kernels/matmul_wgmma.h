// Matrix products on Hopper's tensor cores (sm_90a): of f16 and bf16, and of i8 and f8e4m3 with
// factors for every row of a and of b.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/activation.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// A block makes 128 × tile_n of c; two blocks side by side in m share their part of b.
inline constexpr int kWgmmaTileM = 128, kWgmmaCluster = 2;
// Boxes are 128 bytes wide.
inline constexpr int kWgmmaBoxBytes = 128;

struct MatmulWgmmaParams {
  // Tensors of three dimensions, the product last; see TensorBox. Rows of a box: of a kWgmmaTileM,
  // of b [n, k] tile_n / kWgmmaCluster, of b [k, n] 64, of c 64.
  CUtensorMap a, b, c;
  const void* bias;                  // [n]; null: none
  const float *a_scales, *b_scales;  // [m], [n], for i8 and f8e4m3; one product
  int64_t m, n, k;
  int products;
  int tile_n;           // 256 for i8, 128 for f8e4m3, either for f16 and bf16
  bool step_a, step_b;  // whether each product has a matrix of its own
  bool transpose_b;     // always for i8 and f8e4m3
  Activation activation;
  DType dtype;  // of a and b
  DType out;    // of c: f32, f16 or bf16 of i8 and f8e4m3, else as dtype
  DType bias_dtype;
  int multiprocessors;
};

// activation(a × b · scales + bias). Sums of 128 products of f8e4m3 lose some bits within the
// tensor cores.
cudaError_t matmul_wgmma(const MatmulWgmmaParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
