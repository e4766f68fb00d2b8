// What passes fuse and one pass over memory does; rotary embeddings, with a norm before them or
// without.
#pragma once

#include "backends/cuda/kernels/activation.h"
#include "backends/cuda/kernels/rows.h"

namespace zoetrope::cuda {

// out = x + gate·y; all but the gate [rows, width] of `dtype`.
struct GatedResidualParams {
  const void *x = nullptr, *y = nullptr;
  void* out = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0, width = 0;
  SideParams gate;
  RowBroadcast gating;  // gate alone
};
cudaError_t gated_residual(const GatedResidualParams& p, cudaStream_t stream);

// out [rows, width] = activation(a)·b; rows of a and b begin `stride` elements apart.
struct GluParams {
  const void *a = nullptr, *b = nullptr;
  void* out = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0, width = 0, stride = 0;
  Activation activation = Activation::kNone;
};
cudaError_t glu(const GluParams& p, cudaStream_t stream);

// x [batch, tokens, heads, dim]. With `norm`, rms_norm(x)·weight first, over each head or with
// `full` over all heads of a token.
struct NormRopeParams {
  const void* x = nullptr;
  void* out = nullptr;
  DType dtype = DType::kF32;
  int64_t batch = 0, tokens = 0, heads = 0, dim = 0;
  bool split = false, norm = false, full = false;
  float epsilon = 0;
  SideParams cos, sin, weight;
  // Elements from sample to sample, token to token and head to head of each table.
  int64_t cos_steps[3] = {}, sin_steps[3] = {};
};
cudaError_t norm_rope(const NormRopeParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
