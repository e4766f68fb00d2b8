// How the copy engine of sm_90 and later sees a tensor in device memory.
#pragma once

#include <cuda.h>

#include <array>

#include "backends/cuda/cuda.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// Innermost dimension first. A box lies in shared memory in the 128-byte swizzle, so that its
// innermost extent is 128 bytes; what lies outside the tensor is read as zeros and not written.
struct TensorBox {
  const void* data = nullptr;  // aligned to 16 bytes
  DType dtype = DType::kBF16;
  int rank = 3;  // of what follows, at most 5
  std::array<int64_t, 5> extents{};
  std::array<int64_t, 5> steps{};  // elements; the first is 1, the others' bytes divide by 16
  std::array<int32_t, 5> box{1, 1, 1, 1, 1};    // elements that are copied
  std::array<int32_t, 5> every{1, 1, 1, 1, 1};  // of which many, at most 8, one is copied
};

// Makes no call that a capturing stream forbids. The map goes to a kernel by value, as a
// __grid_constant__ parameter.
Status make_tensor_map(const TensorBox& tensor, CUtensorMap* map);

}  // namespace zoetrope::cuda
