// Linear resampling.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/divider.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// x [batch, from..., channels] → y [batch, to..., channels], up to four dimensions between.
struct ResizeParams {
  const void* x = nullptr;
  void* y = nullptr;
  DType dtype = DType::kF32;
  bool align_corners = false;
  int spatial = 1;
  int64_t count = 0, channels = 0;  // elements of y
  Divider to[4];
  int64_t from[4] = {};
};
cudaError_t resize_linear(const ResizeParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
