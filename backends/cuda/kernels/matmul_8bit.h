// Matrix products of 8-bit numbers with factors for rows and columns, of any shape.
#pragma once

#include <cuda_runtime_api.h>

#include "graph/dtype.h"

namespace zoetrope::cuda {

// c [m, n] = a [m, k] × bᵀ [n, k] · a_scales · b_scales + bias, rounded once.
struct Matmul8Params {
  const void *a = nullptr, *b = nullptr;                 // i8 or f8e4m3
  const float *a_scales = nullptr, *b_scales = nullptr;  // [m], [n]
  const void* bias = nullptr;                            // [n], f32, f16 or bf16; null: none
  void* c = nullptr;                                     // f32, f16 or bf16
  int64_t m = 0, n = 0, k = 0;
  DType dtype = DType::kI8, out = DType::kF32, bias_dtype = DType::kF32;
};

// On integer and FMA units: sums of i8 exact, of f8e4m3 in f32.
cudaError_t matmul_8bit(const Matmul8Params& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
