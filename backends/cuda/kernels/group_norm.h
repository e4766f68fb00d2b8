// Norms over groups of channels and all positions.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/rows.h"

namespace zoetrope::cuda {

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
