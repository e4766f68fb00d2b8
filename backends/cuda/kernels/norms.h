// Norms over the last axis, with what stands before and after them.
#pragma once

#include "backends/cuda/kernels/rows.h"

namespace zoetrope::cuda {

// y = norm(v)·weight + bias, then ·(1 + scale) + shift; v = x, or x + gate·residual, which is also
// stored. Statistics in f32.
struct RowNormParams {
  const void* x = nullptr;  // [rows, width] of `dtype`, as are residual, sum and y
  void* y = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0, width = 0;
  bool rms = false;
  float epsilon = 0;
  SideParams weight, bias, scale, shift;
  RowBroadcast modulation;  // scale, shift
  const void* residual = nullptr;
  void* sum = nullptr;
  SideParams gate;
  RowBroadcast gating;  // gate alone
};
cudaError_t row_norm(const RowNormParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
