// What is left to do on sums that a library has made.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/activation.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// out [rows, n] = activation(sums [rows, n] · row_scales · column_scales + bias), rounded once.
struct FinishParams {
  const void* sums = nullptr;            // f32 or i32
  void* out = nullptr;                   // f32, f16 or bf16
  const float* row_scales = nullptr;     // [rows]; null: 1
  const float* column_scales = nullptr;  // [n]; null: 1
  const void* bias = nullptr;            // [n], f32, f16 or bf16; null: none
  int64_t rows = 0, n = 0;
  DType sums_dtype = DType::kF32, dtype = DType::kF32, bias_dtype = DType::kF32;
  Activation activation = Activation::kNone;
};

cudaError_t finish_sums(const FinishParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
