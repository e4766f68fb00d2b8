// Ops that move elements without changing them.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/walk.h"

namespace zoetrope::cuda {

// Units of 1, 2, 4, 8 or 16 bytes, from where the walk's first operand stands to where its second
// does.
struct CopyParams {
  const void* from = nullptr;
  void* to = nullptr;
  int unit_bytes = 4;
  int64_t count = 0;  // units
  WalkParams<2> walk;
};
cudaError_t copy_units(const CopyParams& p, cudaStream_t stream);

// Matrices whose rows become columns: [outer][height][width] from steps of (stride, 1) to
// (1, stride). Elements of 1, 2, 4 or 8 bytes.
struct TransposeParams {
  const void* from = nullptr;
  void* to = nullptr;
  int element_bytes = 4;
  int64_t height = 0, width = 0;       // of the input: `width` elements lie side by side
  int64_t from_step = 0, to_step = 0;  // from row to row of the input, of the output
  int64_t outer = 1;
  WalkParams<2> walk;   // of the outer dimensions
  bool chunks = false;  // sizes, steps and the walk's strides are whole chunks of 16 bytes
};
cudaError_t transpose_tiles(const TransposeParams& p, cudaStream_t stream);

// Rows of `row` units at indices, those outside clamped into the table.
struct GatherParams {
  const void* table = nullptr;
  const void* indices = nullptr;
  void* out = nullptr;
  bool wide_indices = false;  // i64, else i32
  int unit_bytes = 4;
  int64_t rows = 0, row = 0, count = 0;  // of the table; units of a row and in all
};
cudaError_t gather(const GatherParams& p, cudaStream_t stream);

enum class PadMode : uint8_t { kConstant, kReplicate, kReflect };
struct PadParams {
  const void* x = nullptr;
  void* y = nullptr;
  PadMode mode = PadMode::kConstant;
  int unit_bytes = 4;
  uint64_t value[2] = {};  // the constant, repeated over 16 bytes
  int64_t count = 0;       // units of y
  int rank = 0;
  Divider extents[kWalkRank];  // of y
  int64_t before[kWalkRank] = {}, sizes[kWalkRank] = {};
};
cudaError_t pad(const PadParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
