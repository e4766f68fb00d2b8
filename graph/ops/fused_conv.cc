// fused_conv: activation(conv(x, weight) + bias). `replicate` holds one entry a spatial dimension:
// 1 where the padding of that dimension repeats the edge of x, 0 (the default) where it is zeros.
#include "graph/builder.h"
#include "graph/ops/conv_shape.h"

namespace zoetrope {
namespace ops {
namespace {

Result<Types> infer_fused_conv(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(Types out, infer_conv(c));
  const Shape& x = c.input(0).shape;
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, 2, "bias", out[0].shape[-1]));
  ZT_RETURN_IF_ERROR(require_activation(c.attrs));
  ZT_ASSIGN_OR_RETURN(const auto replicate, ints_or(c.attrs, "replicate", x.rank() - 2, 0, 0, 1));
  for (int d = 1; d < x.rank() - 1; ++d)
    if (replicate[idx(d - 1)] != 0 && x[d] == 0)
      return error(Code::kInvalidArgument, "nothing to replicate along dimension ", d, " of ",
                   c.input(0).to_string());
  return out;
}

std::vector<int32_t> decompose_fused_conv(Builder& builder, std::span<const int32_t> inputs,
                                          const Attrs& attrs) {
  const TensorType type = builder.graph().value(inputs[0]).type;
  const int spatial = type.shape.rank() - 2;
  const std::vector<int64_t> replicate = ints_or(attrs, "replicate", spatial, 0);
  Builder::ConvOptions options{.stride = attrs.get_ints("stride"),
                               .dilation = attrs.get_ints("dilation"),
                               .pad_lo = ints_or(attrs, "pad_lo", spatial, 0),
                               .pad_hi = ints_or(attrs, "pad_hi", spatial, 0),
                               .groups = attrs.get_int("groups")};
  std::vector<Dim> lo(idx(spatial + 2)), hi(idx(spatial + 2));
  bool any = false;
  for (size_t d = 0; d < idx(spatial); ++d) {
    if (replicate[d] == 0 || options.pad_lo[d] + options.pad_hi[d] == 0) continue;
    any = true;
    lo[d + 1] = std::exchange(options.pad_lo[d], 0);
    hi[d + 1] = std::exchange(options.pad_hi[d], 0);
  }
  ValueId x = inputs[0];
  if (any) x = builder.pad(x, lo, hi, "replicate");
  ValueId y = builder.conv(x, inputs[1], options);
  if (inputs.size() > 2 && inputs[2] != kNone)
    y = builder.add(y, decompose_cast(builder, inputs[2], type.dtype));
  return {decompose_activation(builder, y, attrs)};
}

}  // namespace
}  // namespace ops

// Inputs: x [B, spatial..., C], weight [O, kernel..., C/groups], [bias] [O]. Output: x's dtype.
const OpDef& fused_conv_op() {
  static const OpDef def{
      .kind = OpKind::kConvBias,
      .name = "fused_conv",
      .attrs = {{"stride", AttrType::kInts, false, std::vector<Dim>{}},
                {"dilation", AttrType::kInts, false, std::vector<Dim>{}},
                {"pad_lo", AttrType::kInts, false, std::vector<Dim>{}},
                {"pad_hi", AttrType::kInts, false, std::vector<Dim>{}},
                {"groups", AttrType::kInt, false, Dim(1)},
                {"replicate", AttrType::kInts, false, std::vector<Dim>{}},
                {"activation", AttrType::kString, false, std::string("none")}},
      .min_inputs = 2,
      .max_inputs = 3,
      .infer = ops::infer_fused_conv,
      .flops = ops::flops_conv,
      .decompose = ops::decompose_fused_conv,
      .tolerance = {1e-5, 1e-5},
  };
  return def;
}

}  // namespace zoetrope
