// conv_transpose: the adjoint of conv in its input (torch.nn.functional.conv_transpose1d-3d):
// out[b, p·stride + k·dilation − pad_lo, o] += x[b, p, c] · weight[o, k, c]. Unlike PyTorch's
// [C, O/groups, kernel...], the weight is [O, kernel..., C/groups], as conv's.
// Output size: (in − 1)·stride − pad_lo − pad_hi + dilation·(kernel − 1) + output_pad + 1.
#include <algorithm>

#include "graph/ops/contraction.h"
#include "graph/ops/conv_shape.h"

namespace zoetrope {
namespace ops {
namespace {

Result<Types> infer_conv_transpose(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(const ConvGeometry g, check_conv(c, true));
  const Shape &x = c.input(0).shape, &weight = c.input(1).shape;
  Shape shape = x;
  for (int d = 0; d < g.spatial; ++d) {
    const size_t i = idx(d);
    if (x[d + 1] < 1)
      return error(Code::kInvalidArgument, "dimension ", d + 1, " of ", c.input(0).to_string(),
                   " is empty");
    if (g.stride[i] > kMaxExtent / x[d + 1])
      return error(Code::kInvalidArgument, "stride ", g.stride[i], " is too large");
    const int64_t size = (x[d + 1] - 1) * g.stride[i] - g.pad_lo[i] - g.pad_hi[i] +
                         g.dilation[i] * (weight[d + 1] - 1) + g.output_pad[i] + 1;
    if (size < 1)
      return error(Code::kInvalidArgument, "padding leaves ", size, " elements of dimension ",
                   d + 1);
    shape[d + 1] = size;
  }
  shape[-1] = weight[0];
  return one_output(c.input(0).dtype, shape);
}

double flops_conv_transpose(const OpContext& c, std::span<const TensorType>) {
  const Shape& weight = c.input(1).shape;
  return 2.0 * static_cast<double>(c.input(0).shape.elements()) *
         static_cast<double>(extent(weight, 0, weight.rank() - 1)) /
         static_cast<double>(c.attrs.get_int("groups"));
}

void scatter_position(const Conv3d& g, const double* x, const double* packed, const int64_t at[3],
                      double* y) {
  const int64_t cg = g.channels / g.groups, og = g.filters / g.groups;
  const int64_t taps = g.kernel[0] * g.kernel[1] * g.kernel[2];
  for (int64_t t = 0; t < taps; ++t) {
    const int64_t k[3] = {t / (g.kernel[1] * g.kernel[2]), t / g.kernel[2] % g.kernel[1],
                          t % g.kernel[2]};
    int64_t offset = 0;
    bool inside = true;
    for (int d = 0; d < 3; ++d) {
      const int64_t p = at[d] * g.stride[d] + k[d] * g.dilation[d] - g.pad_lo[d];
      inside &= p >= 0 && p < g.out[d];
      offset = offset * g.out[d] + p;
    }
    if (!inside) continue;
    for (int64_t group = 0; group < g.groups; ++group)
      for (int64_t i = 0; i < cg; ++i)
        axpy(og, x[group * cg + i], packed + ((group * taps + t) * cg + i) * og,
             y + offset * g.filters + group * og);
  }
}

void reference_conv_transpose(const OpContext& c, RefInputs in, std::span<const TensorType> types,
                              RefOutputs out) {
  const Conv3d g = as_conv3d(c, in[0]->shape, in[1]->shape, types[0].shape);
  const std::vector<double> packed = pack_conv_weight(g, in[1]->data);
  const int64_t image = g.out[0] * g.out[1] * g.out[2] * g.filters;
  std::fill(out[0].begin(), out[0].end(), 0.0);
  const double* x = in[0]->data.data();
  for (int64_t b = 0; b < g.batch; ++b)
    for (int64_t p = 0; p < g.in[0]; ++p)
      for (int64_t q = 0; q < g.in[1]; ++q)
        for (int64_t r = 0; r < g.in[2]; ++r, x += g.channels) {
          const int64_t at[3] = {p, q, r};
          scatter_position(g, x, packed.data(), at, out[0].data() + b * image);
        }
}

}  // namespace
}  // namespace ops

const OpDef& conv_transpose_op() {
  static const OpDef def{
      .kind = OpKind::kConvTranspose,
      .name = "conv_transpose",
      .attrs = {{"stride", AttrType::kInts, false, std::vector<Dim>{}},
                {"dilation", AttrType::kInts, false, std::vector<Dim>{}},
                {"pad_lo", AttrType::kInts, false, std::vector<Dim>{}},
                {"pad_hi", AttrType::kInts, false, std::vector<Dim>{}},
                {"output_pad", AttrType::kInts, false, std::vector<Dim>{}},
                {"groups", AttrType::kInt, false, Dim(1)}},
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = ops::infer_conv_transpose,
      .flops = ops::flops_conv_transpose,
      .reference = ops::reference_conv_transpose,
      .tolerance = {1e-5, 1e-5},
  };
  return def;
}

}  // namespace zoetrope
