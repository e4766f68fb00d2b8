// Convolutions: conv and fused_conv.
#include "backends/cuda/convolutions.h"

namespace zoetrope::cuda {
namespace {

bool accepts(const KernelRequest& request, const Capabilities&) {
  return accepts_convolution(request);
}

Prepared prepare_direct(const KernelRequest& request, const Context& context) {
  return prepare_convolution(request, context, conv_direct);
}

constexpr Row kRows[] = {
    {OpKind::kConv, "conv_direct", accepts, prepare_direct},
    {OpKind::kConvBias, "conv_direct", accepts, prepare_direct},
};

}  // namespace

std::span<const Row> conv_rows() { return kRows; }

}  // namespace zoetrope::cuda
