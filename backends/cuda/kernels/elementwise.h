// Ops that treat elements one by one, broadcasting, and the sources fill and iota.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/walk.h"
#include "graph/dtype.h"
#include "graph/ops/elementwise.h"

namespace zoetrope::cuda {

using ops::Binary;
using ops::Unary;

// x and y of `dtype`: f32, f16 or bf16.
cudaError_t unary(Unary op, DType dtype, const void* x, void* y, int64_t count,
                  cudaStream_t stream);

// From any dtype to any but the 8-bit floats. To integers: toward zero, saturated, NaN to 0.
cudaError_t cast(DType from, const void* x, DType to, void* y, int64_t count, cudaStream_t stream);

struct BinaryParams {
  Binary op = Binary::kAdd;
  DType dtype = DType::kF32;  // of both inputs; less and equal give bool
  const void *a = nullptr, *b = nullptr;
  void* out = nullptr;
  int64_t count = 0;
  WalkParams<2> walk;
  int chunk = 1;  // elements that each input steps over by ones, or not at all
};
// f32, f16, bf16, and integers (which saturate; neither div nor pow).
cudaError_t binary(const BinaryParams& p, cudaStream_t stream);

struct SelectParams {
  const uint8_t* condition = nullptr;
  const void *a = nullptr, *b = nullptr;
  void* out = nullptr;
  int element_bytes = 4;
  int64_t count = 0;
  WalkParams<3> walk;
};
cudaError_t select(const SelectParams& p, cudaStream_t stream);

// start + step·i, rounded once.
cudaError_t source(DType dtype, void* out, int64_t count, double start, double step,
                   cudaStream_t stream);

}  // namespace zoetrope::cuda
