// conv, fused_conv and conv_transpose as kernels see them.
#pragma once

#include "backends/cuda/kernels/conv.h"
#include "backends/cuda/products.h"

namespace zoetrope::cuda {

// Geometry, dtypes and activation; no operands.
ConvParams convolution_of(const KernelRequest& request);

// For rows. f32, f16 or bf16, and any float weight:
bool accepts_conv_direct(const KernelRequest& request, const Capabilities& caps);
// groups that are wide enough for tiles;
bool accepts_conv_simt(const KernelRequest& request, const Capabilities& caps);
// the same in 16 bits;
bool accepts_conv_mma(const KernelRequest& request, const Capabilities& caps);
// and of stride 1, on Hopper.
bool accepts_conv_wgmma(const KernelRequest& request, const Capabilities& caps);

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
template <ConvLauncher kLauncher>
Prepared prepare_conv(const KernelRequest& request, const Context& context) {
  return prepare_convolution(request, context, kLauncher);
}
Prepared prepare_conv_wgmma(const KernelRequest& request, const Context& context);

}  // namespace zoetrope::cuda
