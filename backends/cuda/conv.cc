// Convolutions: conv and fused_conv.
#include "backends/cuda/convolutions.h"

namespace zoetrope::cuda {
namespace {

constexpr TableRow kTable[] = {
    {OpKind::kConv, "conv_wgmma", accepts_conv_wgmma, prepare_conv_wgmma},
    {OpKind::kConvBias, "conv_wgmma", accepts_conv_wgmma, prepare_conv_wgmma},
    {OpKind::kConv, "conv_mma", accepts_conv_mma, prepare_conv<conv_mma>},
    {OpKind::kConvBias, "conv_mma", accepts_conv_mma, prepare_conv<conv_mma>},
    {OpKind::kConv, "conv_simt", accepts_conv_simt, prepare_conv<conv_simt>},
    {OpKind::kConvBias, "conv_simt", accepts_conv_simt, prepare_conv<conv_simt>},
    {OpKind::kConv, "conv_direct", accepts_conv_direct, prepare_conv<conv_direct>},
    {OpKind::kConvBias, "conv_direct", accepts_conv_direct, prepare_conv<conv_direct>},
};

}  // namespace

std::span<const TableRow> conv_table() { return kTable; }

}  // namespace zoetrope::cuda
