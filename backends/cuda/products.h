// matmul and fused_linear as the kernels of matrix products see them.
#pragma once

#include "backends/cuda/kernel.h"
#include "backends/cuda/kernels/matmul.h"

namespace zoetrope::cuda {

// Shapes, dtypes and activation; no operands. Leading dimensions that step as one are one, the last
// of them at the end of `lead`.
MatmulParams products_of(const KernelRequest& request);

// What all kernels of matmul and fused_linear take care of: b or a bias stored in another dtype
// than the kernel reads is converted: a weight when it is packed, anything else before each call.
class ProductKernel : public CudaKernel {
 public:
  enum Input : size_t { kA, kB, kBias };

 protected:
  // Where b_dtype and bias_dtype are what the kernel reads. `workspace` bytes are the kernel's own,
  // first in the workspace.
  ProductKernel(const Context& context, const KernelRequest& request, const MatmulParams& params,
                int64_t workspace);
  // The parameters with this call's operands.
  Result<MatmulParams> bind(const Call& call) const;

  const MatmulParams params_;

 private:
  struct Operand {
    size_t input = 0;
    DType stored = DType::kF32, wanted = DType::kF32;
    int64_t count = 0;          // elements
    int64_t converted_at = -1;  // in the workspace; -1: not converted at every call
  };
  void convert_if_needed(const KernelRequest& request, Operand* operand);
  Result<const void*> bind(const Operand& operand, const Call& call) const;

  Operand b_, bias_;
};

}  // namespace zoetrope::cuda
