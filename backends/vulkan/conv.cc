// Convolutions as matrix products whose left side is gathered: conv, fused_conv, conv_transpose.
#include "backends/vulkan/contraction.h"

namespace zoetrope::vulkan {
namespace {

// Groups of so few filters (depthwise above all) leave tiles empty.
bool accepts_direct(const KernelRequest& request, const Capabilities& caps) {
  if (!accepts_contraction(request, caps)) return false;
  const Contraction c = Contraction::of(request);
  return c.products() > 1 && c.n < 8;
}

Result<KernelSpec> prepare_direct(const KernelRequest& request, const Capabilities&) {
  const Contraction c = Contraction::of(request);
  Dispatch d = c.dispatch(request, "conv_direct", 128, 1, 1, 1);
  d.groups = ceil_div(out(request).shape.elements(), d.group_size);
  return KernelSpec{.name = "conv_direct", .dispatches = {d}};
}

constexpr TableRow kTable[] = {
    {OpKind::kConv, accepts_direct, prepare_direct},
    {OpKind::kConvBias, accepts_direct, prepare_direct},
    {OpKind::kConv, accepts_packed, prepare_packed},
    {OpKind::kConvBias, accepts_packed, prepare_packed},
    {OpKind::kConv, accepts_coopmat, prepare_coopmat},
    {OpKind::kConvBias, accepts_coopmat, prepare_coopmat},
    {OpKind::kConvTranspose, accepts_coopmat, prepare_coopmat},
    {OpKind::kConv, accepts_contraction, prepare_tiled},
    {OpKind::kConvBias, accepts_contraction, prepare_tiled},
    {OpKind::kConvTranspose, accepts_contraction, prepare_tiled},
};

}  // namespace

std::span<const TableRow> conv_table() { return kTable; }

}  // namespace zoetrope::vulkan
