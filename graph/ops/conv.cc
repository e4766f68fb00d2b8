// conv: cross-correlation over 1 to 3 spatial dimensions, channels last
// (torch.nn.functional.conv1d-3d after permuting). out[b, p, o] = Σ_k Σ_c x[b, p·stride +
// k·dilation − pad_lo, c] · weight[o, k, c], with zeros outside x; with groups, filter o sees the
// channels of its group only.
#include <algorithm>

#include "graph/ops/contraction.h"
#include "graph/ops/conv_shape.h"

namespace zoetrope {
namespace ops {

Result<ConvGeometry> check_conv(const OpContext& c, bool transposed) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 2));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "x"));
  ZT_RETURN_IF_ERROR(require_float(c, 1, "weight"));
  ZT_RETURN_IF_ERROR(require_rank(c, 0, "x", 3, 5));
  const Shape &x = c.input(0).shape, &weight = c.input(1).shape;
  ZT_RETURN_IF_ERROR(require_rank(c, 1, "weight", x.rank(), x.rank()));
  ConvGeometry g;
  g.spatial = x.rank() - 2;
  ZT_ASSIGN_OR_RETURN(g.stride, ints_or(c.attrs, "stride", g.spatial, 1, 1, kMaxExtent));
  ZT_ASSIGN_OR_RETURN(g.dilation, ints_or(c.attrs, "dilation", g.spatial, 1, 1, 1 << 20));
  ZT_ASSIGN_OR_RETURN(g.pad_lo, ints_or(c.attrs, "pad_lo", g.spatial, 0, 0, kMaxExtent));
  ZT_ASSIGN_OR_RETURN(g.pad_hi, ints_or(c.attrs, "pad_hi", g.spatial, 0, 0, kMaxExtent));
  if (transposed) {
    ZT_ASSIGN_OR_RETURN(g.output_pad, ints_or(c.attrs, "output_pad", g.spatial, 0, 0, 1 << 20));
  }
  g.groups = c.attrs.get_int("groups");
  if (g.groups < 1 || weight[0] % g.groups != 0 || x[-1] % g.groups != 0)
    return error(Code::kInvalidArgument, "groups must divide the ", x[-1], " channels and the ",
                 weight[0], " filters; found ", g.groups);
  if (weight[-1] != x[-1] / g.groups)
    return error(Code::kInvalidArgument, "weight must have ", x[-1] / g.groups,
                 " input channels a group; found ", c.input(1).to_string(), " for x ",
                 c.input(0).to_string());
  for (int d = 1; d <= g.spatial; ++d)
    if (weight[d] < 1 || weight[d] > (1 << 20))
      return error(Code::kInvalidArgument, "kernel sizes must lie in [1, 2^20]; found ",
                   c.input(1).to_string());
  return g;
}

Result<Types> infer_conv(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(const ConvGeometry g, check_conv(c, false));
  const Shape &x = c.input(0).shape, &weight = c.input(1).shape;
  Shape shape = x;
  for (int d = 0; d < g.spatial; ++d) {
    const size_t i = idx(d);
    const int64_t padded = x[d + 1] + g.pad_lo[i] + g.pad_hi[i];
    const int64_t reach = g.dilation[i] * (weight[d + 1] - 1) + 1;
    if (reach > padded)
      return error(Code::kInvalidArgument, "the kernel spans ", reach, " but dimension ", d + 1,
                   " of ", c.input(0).to_string(), " has ", padded, " with padding");
    shape[d + 1] = (padded - reach) / g.stride[i] + 1;
  }
  shape[-1] = weight[0];
  return one_output(c.input(0).dtype, shape);
}

// Taps of one axis that meet the input and not its padding, over all outputs.
double taps_inside(int64_t x, int64_t outputs, int64_t kernel, int64_t stride, int64_t dilation,
                   int64_t pad_lo) {
  constexpr int64_t kLong = 4096;  // counting must not take long
  if (kernel > kLong) return static_cast<double>(kernel) * static_cast<double>(outputs);
  double taps = 0;
  for (int64_t k = 0; k < kernel; ++k) {
    const int64_t at = k * dilation - pad_lo;  // of the first output
    const int64_t first = at >= 0 ? 0 : (-at + stride - 1) / stride;
    const int64_t end = at >= x ? 0 : std::min((x - 1 - at) / stride + 1, outputs);
    taps += static_cast<double>(std::max<int64_t>(end - first, 0));
  }
  return taps;
}

double flops_conv(const OpContext& c, std::span<const TensorType> out) {
  const Shape &x = c.input(0).shape, &weight = c.input(1).shape, &y = out[0].shape;
  const auto g = check_conv(c, false);
  if (!g.ok()) return 0;
  double products =
      static_cast<double>(y[0]) * static_cast<double>(y[-1]) * static_cast<double>(weight[-1]);
  for (int d = 0; d < g->spatial; ++d) {
    const size_t i = idx(d);
    products *=
        taps_inside(x[d + 1], y[d + 1], weight[d + 1], g->stride[i], g->dilation[i], g->pad_lo[i]);
  }
  return 2 * products;
}

Conv3d as_conv3d(const OpContext& c, const Shape& x, const Shape& weight, const Shape& y) {
  Conv3d g{};
  const int spatial = x.rank() - 2, skip = 3 - spatial;
  const auto stride = ints_or(c.attrs, "stride", spatial, 1);
  const auto dilation = ints_or(c.attrs, "dilation", spatial, 1);
  const auto pad_lo = ints_or(c.attrs, "pad_lo", spatial, 0);
  g.batch = x[0];
  g.channels = x[-1];
  g.filters = y[-1];
  g.groups = c.attrs.get_int("groups");
  for (int d = 0; d < 3; ++d) {
    const int s = d - skip;
    const bool real = s >= 0;
    g.in[d] = real ? x[s + 1] : 1;
    g.out[d] = real ? y[s + 1] : 1;
    g.kernel[d] = real ? weight[s + 1] : 1;
    g.stride[d] = real ? stride[idx(s)] : 1;
    g.dilation[d] = real ? dilation[idx(s)] : 1;
    g.pad_lo[d] = real ? pad_lo[idx(s)] : 0;
  }
  return g;
}

std::vector<double> pack_conv_weight(const Conv3d& g, std::span<const double> weight) {
  const int64_t taps = g.kernel[0] * g.kernel[1] * g.kernel[2];
  const int64_t cg = g.channels / g.groups, og = g.filters / g.groups;
  std::vector<double> packed(weight.size());
  for (int64_t o = 0; o < g.filters; ++o)
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t i = 0; i < cg; ++i)
        packed[idx(((o / og * taps + t) * cg + i) * og + o % og)] =
            weight[idx((o * taps + t) * cg + i)];
  return packed;
}

namespace {

// Adds every tap's contribution to the filters of one output position.
void conv_position(const Conv3d& g, const double* x, const double* packed, const int64_t at[3],
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
      inside &= p >= 0 && p < g.in[d];
      offset = offset * g.in[d] + p;
    }
    if (!inside) continue;
    for (int64_t group = 0; group < g.groups; ++group)
      for (int64_t i = 0; i < cg; ++i)
        axpy(og, x[offset * g.channels + group * cg + i],
             packed + ((group * taps + t) * cg + i) * og, y + group * og);
  }
}

void reference_conv(const OpContext& c, RefInputs in, std::span<const TensorType> types,
                    RefOutputs out) {
  const Conv3d g = as_conv3d(c, in[0]->shape, in[1]->shape, types[0].shape);
  const std::vector<double> packed = pack_conv_weight(g, in[1]->data);
  const int64_t image = g.in[0] * g.in[1] * g.in[2] * g.channels;
  std::fill(out[0].begin(), out[0].end(), 0.0);
  double* y = out[0].data();
  for (int64_t b = 0; b < g.batch; ++b)
    for (int64_t p = 0; p < g.out[0]; ++p)
      for (int64_t q = 0; q < g.out[1]; ++q)
        for (int64_t r = 0; r < g.out[2]; ++r, y += g.filters) {
          const int64_t at[3] = {p, q, r};
          conv_position(g, in[0]->data.data() + b * image, packed.data(), at, y);
        }
}

}  // namespace
}  // namespace ops

// x may have any float dtype and the weight another; the output has x's. Tolerance for outputs of
// order 1.
const OpDef& conv_op() {
  static const OpDef def{
      .kind = OpKind::kConv,
      .name = "conv",
      .attrs = {{"stride", AttrType::kInts, false, std::vector<Dim>{}},
                {"dilation", AttrType::kInts, false, std::vector<Dim>{}},
                {"pad_lo", AttrType::kInts, false, std::vector<Dim>{}},
                {"pad_hi", AttrType::kInts, false, std::vector<Dim>{}},
                {"groups", AttrType::kInt, false, Dim(1)}},
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = ops::infer_conv,
      .flops = ops::flops_conv,
      .reference = ops::reference_conv,
      .tolerance = {1e-5, 1e-5},
  };
  return def;
}

}  // namespace zoetrope
