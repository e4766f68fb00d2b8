// Matrix products: c [m, n] = activation(a [m, k] × b + bias), many of one shape. Row major
// throughout; b is [n, k] with transpose_b, else [k, n]. Sums and bias are f32, rounded once.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/activation.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

struct MatmulParams {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* bias = nullptr;  // [n]; null: none
  void* c = nullptr;
  int64_t m = 0, n = 0, k = 0;
  // Up to four leading dimensions of products, and the elements they step in a and b. In c one
  // product follows the other.
  int64_t lead[4] = {1, 1, 1, 1}, lead_a[4] = {}, lead_b[4] = {};
  bool transpose_b = false;
  Activation activation = Activation::kNone;
  DType dtype = DType::kF32;    // of a and c: f32, f16 or bf16
  DType b_dtype = DType::kF32;  // as dtype; matmul_vector on f32 also takes f16 and bf16
  DType bias_dtype = DType::kF32;

  int64_t products() const { return lead[0] * lead[1] * lead[2] * lead[3]; }
};

// Few rows: reads b once, as fast as memory gives it.
inline constexpr int64_t kVectorRows = 8;
bool accepts_matmul_vector(const MatmulParams& p);
cudaError_t matmul_vector(const MatmulParams& p, cudaStream_t stream);

// Any shape and alignment, on FMA units.
cudaError_t matmul_simt(const MatmulParams& p, cudaStream_t stream);

// f16 and bf16 of any shape and alignment on tensor cores (sm_80 and later).
cudaError_t matmul_mma(const MatmulParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
