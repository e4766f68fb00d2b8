// Geometry of convolutions, shared by conv, conv_transpose and fused_conv.
#pragma once

#include "graph/ops/common.h"

namespace zoetrope::ops {

// Attributes of one convolution with their defaults filled in, one entry a spatial dimension.
struct ConvGeometry {
  int spatial = 0;
  std::vector<int64_t> stride, dilation, pad_lo, pad_hi, output_pad;
  int64_t groups = 1;
};

// x [B, spatial..., C] with 1 to 3 spatial dimensions, weight [O, kernel..., C/groups]. Checks
// dtypes, ranks, channel counts and attributes.
Result<ConvGeometry> check_conv(const OpContext& c, bool transposed);
// [B, out..., O] of a convolution.
Result<Types> infer_conv(const OpContext& c);
double flops_conv(const OpContext& c, std::span<const TensorType> out);

// The same geometry as three spatial dimensions (leading ones), for the references.
struct Conv3d {
  int64_t batch, in[3], channels, out[3], filters, kernel[3];
  int64_t stride[3], dilation[3], pad_lo[3];
  int64_t groups;
};
Conv3d as_conv3d(const OpContext& c, const Shape& x, const Shape& weight, const Shape& y);

// weight [O, taps, C/groups] → [groups, taps, C/groups, O/groups].
std::vector<double> pack_conv_weight(const Conv3d& g, std::span<const double> weight);

}  // namespace zoetrope::ops
