// matmul and fused_linear as the kernels of matrix products see them.
#pragma once

#include "backends/cuda/kernel.h"
#include "backends/cuda/kernels/matmul.h"

namespace zoetrope::cuda {

// Shapes, dtypes and activation; no operands. Leading dimensions that step as one are one.
MatmulParams products_of(const KernelRequest& request);

// What all kernels of matmul and fused_linear take care of: a weight that is stored in another
// dtype than the kernel reads is converted once at load, another such b before each call.
class ProductKernel : public CudaKernel {
 public:
  enum Input : size_t { kA, kB, kBias };

  Status load(const KernelRequest& request, std::span<const HostTensor> weights) override;

 protected:
  // Where b_dtype is the dtype that the kernel reads. `workspace` bytes are the kernel's own, first
  // in the workspace.
  ProductKernel(const Context& context, const KernelRequest& request, const MatmulParams& params,
                int64_t workspace);
  // The parameters with this call's operands.
  Result<MatmulParams> bind(const Call& call) const;

  const MatmulParams params_;

 private:
  DType stored_ = DType::kF32;  // of b
  int64_t b_count_ = 0;         // elements
  int64_t converted_at_ = -1;   // in the workspace; -1: b is read as it is, or packed
  DeviceMemory packed_;
};

}  // namespace zoetrope::cuda
