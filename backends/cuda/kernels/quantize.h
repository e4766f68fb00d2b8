// Rows as 8-bit numbers with one f32 factor each, of an activation where there is one.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/activation.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

struct QuantizeRowsParams {
  const void* x = nullptr;  // [rows, width], dtype
  const void* b = nullptr;  // likewise, or null
  void* q = nullptr;        // [rows, width], i8 or f8e4m3
  float* scales = nullptr;  // [rows]: y ≈ q · scale
  int64_t rows = 0, width = 0;
  DType dtype = DType::kF32, out = DType::kI8;
  Activation activation = Activation::kNone;
  // x is turned first (graph/rotation.h): width is a multiple of 8, no activation and no b.
  bool rotate = false;
};

// y = activation(x), times b. With L = 127 for i8 and 448 for f8e4m3 and m = max |y| of a row:
// scale = m / L, q = round(y · (L / m)); both 0 where m < 2^-100; scale NaN and q 0 where a
// y is not finite.
cudaError_t quantize_rows(const QuantizeRowsParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
