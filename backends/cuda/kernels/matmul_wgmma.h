// Matrix products of f16 and bf16 on Hopper's tensor cores (sm_90a).
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/activation.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// A block makes 128 × 256 of c; two blocks side by side in m share their part of b.
inline constexpr int kWgmmaTileM = 128, kWgmmaTileN = 256, kWgmmaDepth = 64, kWgmmaCluster = 2;

struct MatmulWgmmaParams {
  // Tensors of three dimensions, the product last; see TensorBox. Boxes: a 64 × 128; b [n, k]
  // 64 × 128, [k, n] 64 × 64; c 64 × 64.
  CUtensorMap a, b, c;
  const void* bias;  // [n]; null: none
  int64_t m, n, k;
  int products;
  bool step_a, step_b;  // whether each product has a matrix of its own
  bool transpose_b;
  Activation activation;
  DType dtype, bias_dtype;
  int multiprocessors;
};

cudaError_t matmul_wgmma(const MatmulWgmmaParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
