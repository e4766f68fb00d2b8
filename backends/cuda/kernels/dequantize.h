// Weights of 8 and 4 bits as numbers.
#pragma once

#include <cuda_runtime_api.h>

#include "graph/dtype.h"

namespace zoetrope::cuda {

// As the op dequantize has them.
struct DequantizeParams {
  const void* q = nullptr;       // [rows, row_bytes], q_dtype
  const void* scale = nullptr;   // [rows, groups]
  const void* offset = nullptr;  // likewise, or null
  void* y = nullptr;             // [rows, columns], out
  int64_t rows = 0, columns = 0, row_bytes = 0;
  int64_t group = 1, groups = 0;  // columns that share a scale, scales of a row
  DType q_dtype = DType::kI8;     // i8, f8e4m3, or u8 with two elements a byte
  // f32, f16 or bf16
  DType scale_dtype = DType::kF32, offset_dtype = DType::kF32, out = DType::kF32;
};

// One rounding after the product, one after the sum, one to `out`: the bits of decode_row
// (graph/weight_format.h).
cudaError_t dequantize(const DequantizeParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
