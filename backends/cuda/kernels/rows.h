// How kernels that treat rows are laid out on the device.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/divider.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// A tensor of f32, f16 or bf16. Null data: absent, or not bound yet where it is given.
struct SideParams {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  bool given = false;
};

// Where two operands stand that broadcast to rows: dimensions of the rows, outermost first.
struct RowBroadcast {
  int rank = 0;
  Divider extents[5];
  int64_t steps[2][5] = {};
  bool moves[2] = {};  // along the row; else one value serves all of it

#ifdef __CUDACC__
  __device__ void offsets(int64_t row, int64_t (&at)[2]) const {
    at[0] = at[1] = 0;
    auto rest = static_cast<uint64_t>(row);
#pragma unroll
    for (int d = 4; d >= 0; --d) {
      if (d >= rank) continue;
      const uint64_t next = d == 0 ? 0 : extents[d].quotient(rest);
      const auto position = static_cast<int64_t>(rest - next * extents[d].d);
      at[0] += position * steps[0][d];
      at[1] += position * steps[1][d];
      rest = next;
    }
  }
#endif
};

// `lanes` threads, a power of two, share a row of `units` chunks; each holds `keep` of them in
// registers, at most 6 (`most_kept`), or reads the row again where that is 0.
struct RowLayout {
  int lanes = 1, keep = 0, threads = 128;
  unsigned blocks = 0;
};
RowLayout lay_out_rows(int64_t rows, int64_t units, int most_kept = 6);

}  // namespace zoetrope::cuda
