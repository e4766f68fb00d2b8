// Softmax along any dimension.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "graph/dtype.h"

namespace zoetrope::cuda {

// Along the middle of [outer, count, inner].
struct SoftmaxParams {
  const void* x = nullptr;
  void* y = nullptr;
  DType dtype = DType::kF32;
  int64_t outer = 0, count = 0, inner = 1;
};
cudaError_t softmax(const SoftmaxParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
