// Products of cuBLASLt with an end of our own: some rows at a time, so that their sums stay in the
// device's L2 until they are finished.
#pragma once

#include "backends/cuda/cublaslt.h"
#include "backends/cuda/kernels/finish.h"

namespace zoetrope::cuda {

class LtRows {
 public:
  // `problem` has one product, and no bias, activation or scales; its out is f32 or i32.
  // kUnsupported: cuBLASLt has no algorithm.
  static Result<LtRows> choice(CublasLt& library, const LtProblem& problem);
  int64_t workspace_bytes() const { return sums_bytes_ + lt_bytes_; }
  Status choose(cudaStream_t stream);
  // `finish` says what to do with all rows; its sums are not set.
  Status run(const void* a, const void* b, const FinishParams& finish, char* workspace,
             cudaStream_t stream) const;

 private:
  CublasLt* lt_ = nullptr;
  LtProblem problem_;                           // of all rows
  int64_t rows_ = 0;                            // at a time
  LtChoice *most_ = nullptr, *last_ = nullptr;  // of rows_ rows, and of what is left (or null)
  int64_t sums_bytes_ = 0, lt_bytes_ = 0;
};

}  // namespace zoetrope::cuda
