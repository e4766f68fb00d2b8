// Sums, means and maxima over chosen dimensions.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/walk.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// y[r] = scale·Σ or max over `count` elements; result r begins where `kept` says, its element i
// stands where `gone` says. Partial results [parts, results] go to the workspace where `parts` > 1.
struct ReduceParams {
  const void* x = nullptr;
  void* y = nullptr;
  DType dtype = DType::kF32;
  bool maximum = false;
  float scale = 1;
  int64_t results = 0, count = 0;
  WalkParams<1> kept, gone;
  int lanes = 1;     // threads of a result: 1 to 32, or 256
  int together = 1;  // results of a thread: where > 1, neighbours in memory, 16 bytes of them
  int chunk = 1;     // elements that a lane reads at once
  int64_t parts = 1;
  float* workspace = nullptr;
};
// Fills lanes, together, chunk and parts.
void cut_reduction(ReduceParams* p, int multiprocessors);
inline int64_t reduce_workspace(const ReduceParams& p) {
  return p.parts > 1 ? p.parts * p.results * 4 : 0;
}
cudaError_t reduce(const ReduceParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
