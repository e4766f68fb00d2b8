// Transposed convolutions.
#include "backends/cuda/convolutions.h"

namespace zoetrope::cuda {
namespace {

bool accepts(const KernelRequest& request, const Capabilities&) {
  return accepts_convolution(request);
}

Prepared prepare_direct(const KernelRequest& request, const Context& context) {
  return prepare_convolution(request, context, conv_direct);
}

constexpr Row kRows[] = {{OpKind::kConvTranspose, "conv_direct", accepts, prepare_direct}};

}  // namespace

std::span<const Row> conv_transpose_rows() { return kRows; }

}  // namespace zoetrope::cuda
