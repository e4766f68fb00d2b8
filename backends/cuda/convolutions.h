// conv, fused_conv and conv_transpose as kernels see them.
#pragma once

#include "backends/cuda/kernels/conv.h"
#include "backends/cuda/products.h"

namespace zoetrope::cuda {

// Geometry, dtypes and activation; no operands.
ConvParams convolution_of(const KernelRequest& request);

// f32, f16 or bf16, and any float weight.
bool accepts_convolution(const KernelRequest& request);

// What all kernels of convolutions take care of: weight and bias are converted to the dtypes that
// the kernel reads.
class ConvKernel : public ProductKernel {
 protected:
  ConvKernel(const Context& context, const KernelRequest& request, const ConvParams& params);
  // The parameters with this call's operands.
  Result<ConvParams> bind_conv(const Call& call) const;

  const ConvParams conv_;
};

// One of kernels/conv.h.
using ConvLauncher = cudaError_t (*)(const ConvParams&, cudaStream_t);
Prepared prepare_convolution(const KernelRequest& request, const Context& context,
                             ConvLauncher launcher);

}  // namespace zoetrope::cuda
