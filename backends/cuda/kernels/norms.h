// Norms over the last axis, with what stands before and after them; and norms over groups of
// channels.
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

// x [batch, positions, width]; each of `groups` equal parts of the channels is normalised over all
// positions of its sample.
struct GroupNormParams {
  const void* x = nullptr;
  void* y = nullptr;
  DType dtype = DType::kF32;
  int64_t batch = 0, positions = 0, width = 0, groups = 1;
  float epsilon = 0;
  SideParams weight, bias;
  float* workspace = nullptr;
};
int64_t group_norm_workspace(const GroupNormParams& p);
cudaError_t group_norm(const GroupNormParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
