// residual_norm: the end of one branch of a transformer block and the beginning of the next,
//   x' = x + gate·y,  h = norm(x')·(1 + scale) + shift,
// which reads and writes x' once. norm is "layer" or "rms" over the last axis, with an optional
// affine weight and bias of its own; gate, scale and shift are optional.
#include "graph/builder.h"
#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

enum Input : size_t { kX, kY, kGate, kScale, kShift, kWeight, kBias };

Result<Types> infer_residual_norm(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 2));
  ZT_RETURN_IF_ERROR(require_float(c, kX, "x"));
  ZT_RETURN_IF_ERROR(require_rank(c, kX, "x", 1, kMaxRank));
  ZT_RETURN_IF_ERROR(require_epsilon(c.attrs));
  ZT_RETURN_IF_ERROR(require_choice(c.attrs, "norm", {"layer", "rms"}));
  const Shape& x = c.input(kX).shape;
  if (x[-1] == 0)
    return error(Code::kInvalidArgument, "nothing to normalise in ", c.input(kX).to_string());
  ZT_RETURN_IF_ERROR(require_same_dtype(c, kY, "y", c.input(kX).dtype));
  ZT_RETURN_IF_ERROR(require_shape(c, kY, "y", x));
  ZT_RETURN_IF_ERROR(require_broadcastable_or_absent(c, kGate, "gate", x));
  ZT_RETURN_IF_ERROR(require_broadcastable_or_absent(c, kScale, "scale", x));
  ZT_RETURN_IF_ERROR(require_broadcastable_or_absent(c, kShift, "shift", x));
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, kWeight, "weight", x[-1]));
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, kBias, "bias", x[-1]));
  if (c.has(kBias) && c.attrs.get_string("norm") == "rms")
    return error(Code::kInvalidArgument, "an rms norm has no bias");
  if (c.has(kShift) && !c.has(kScale))
    return error(Code::kInvalidArgument, "a shift needs a scale");
  return Types{c.input(kX), c.input(kX)};
}

double flops_residual_norm(const OpContext&, std::span<const TensorType> out) {
  return 11 * static_cast<double>(out[0].shape.elements());
}

std::vector<int32_t> decompose_residual_norm(Builder& builder, std::span<const int32_t> inputs,
                                             const Attrs& attrs) {
  const auto input = [&](size_t i) { return i < inputs.size() ? inputs[i] : kNone; };
  const ValueId x = input(kGate) == kNone ? builder.add(inputs[kX], inputs[kY])
                                          : builder.op(OpKind::kGatedResidual,
                                                       {inputs[kX], inputs[kY], input(kGate)});
  const double epsilon = attrs.get_float("epsilon");
  if (input(kScale) != kNone)
    return {x, builder.op(OpKind::kNormModulate,
                          {x, input(kScale), input(kShift), input(kWeight), input(kBias)},
                          {{"norm", attrs.get_string("norm")}, {"epsilon", epsilon}})};
  if (attrs.get_string("norm") == "rms") return {x, builder.rms_norm(x, input(kWeight), epsilon)};
  return {x, builder.layer_norm(x, input(kWeight), input(kBias), epsilon)};
}

}  // namespace
}  // namespace ops

// Inputs: x [..., C], y of x's type, [gate], [scale], [shift], [weight] [C], [bias] [C]; gate,
// scale and shift have any float dtype and broadcast to x. Outputs: x' and h, of x's type; h may be
// taken from x' before or after that is rounded.
const OpDef& residual_norm_op() {
  static const OpDef def{
      .kind = OpKind::kResidualNorm,
      .name = "residual_norm",
      .attrs = {{"norm", AttrType::kString}, {"epsilon", AttrType::kFloat}},
      .min_inputs = 2,
      .max_inputs = 7,
      .infer = ops::infer_residual_norm,
      .flops = ops::flops_residual_norm,
      .decompose = ops::decompose_residual_norm,
      .tolerance = {3e-6, 5e-6},
      .inplace_inputs = 3,
  };
  return def;
}

}  // namespace zoetrope
