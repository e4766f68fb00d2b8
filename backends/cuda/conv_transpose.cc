// Transposed convolutions: the output positions that see the same taps are a product of matrices.
#include "backends/cuda/convolutions.h"

namespace zoetrope::cuda {
namespace {

constexpr TableRow kTable[] = {
    {OpKind::kConvTranspose, "conv_mma", accepts_conv_mma, prepare_conv<conv_mma>},
    {OpKind::kConvTranspose, "conv_simt", accepts_conv_simt, prepare_conv<conv_simt>},
    {OpKind::kConvTranspose, "conv_direct", accepts_conv_direct, prepare_conv<conv_direct>},
};

}  // namespace

std::span<const TableRow> conv_transpose_table() { return kTable; }

}  // namespace zoetrope::cuda
