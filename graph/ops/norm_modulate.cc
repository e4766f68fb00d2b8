// norm_modulate: norm(x)·(1 + scale) + shift, adaLN (arXiv 2212.09748, section 3.2). norm is
// "layer" or "rms" over the last axis, with an optional affine weight and bias of its own.
#include "graph/builder.h"
#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

enum Input : size_t { kX, kScale, kShift, kWeight, kBias };

Result<Types> infer_norm_modulate(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 2));
  ZT_RETURN_IF_ERROR(require_float(c, kX, "x"));
  ZT_RETURN_IF_ERROR(require_rank(c, kX, "x", 1, kMaxRank));
  ZT_RETURN_IF_ERROR(require_epsilon(c.attrs));
  ZT_RETURN_IF_ERROR(require_choice(c.attrs, "norm", {"layer", "rms"}));
  const Shape& x = c.input(kX).shape;
  if (x[-1] == 0)
    return error(Code::kInvalidArgument, "nothing to normalise in ", c.input(kX).to_string());
  ZT_RETURN_IF_ERROR(require_broadcastable_or_absent(c, kScale, "scale", x));
  ZT_RETURN_IF_ERROR(require_broadcastable_or_absent(c, kShift, "shift", x));
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, kWeight, "weight", x[-1]));
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, kBias, "bias", x[-1]));
  if (c.has(kBias) && c.attrs.get_string("norm") == "rms")
    return error(Code::kInvalidArgument, "an rms norm has no bias");
  return Types{c.input(kX)};
}

double flops_norm_modulate(const OpContext&, std::span<const TensorType> out) {
  return 9 * static_cast<double>(out[0].shape.elements());
}

std::vector<int32_t> decompose_norm_modulate(Builder& builder, std::span<const int32_t> inputs,
                                             const Attrs& attrs) {
  const auto input = [&](size_t i) { return i < inputs.size() ? inputs[i] : kNone; };
  const auto dtype = [&](ValueId id) { return builder.graph().value(id).type.dtype; };
  const double epsilon = attrs.get_float("epsilon");
  const ValueId x = inputs[kX], scale = inputs[kScale];
  const ValueId normed = attrs.get_string("norm") == "rms"
                             ? builder.rms_norm(x, input(kWeight), epsilon)
                             : builder.layer_norm(x, input(kWeight), input(kBias), epsilon);
  const ValueId factor = builder.add(scale, builder.scalar(1, dtype(scale)));
  ValueId y = builder.mul(normed, decompose_cast(builder, factor, dtype(x)));
  if (input(kShift) != kNone) y = builder.add(y, decompose_cast(builder, input(kShift), dtype(x)));
  return {y};
}

}  // namespace
}  // namespace ops

// Inputs: x [..., C], scale, [shift], [weight] [C], [bias] [C]; scale and shift have any float
// dtype and broadcast to x ([B, 1, C], or [B, N, C] where modulation varies by token). Output: x's
// dtype.
const OpDef& norm_modulate_op() {
  static const OpDef def{
      .kind = OpKind::kNormModulate,
      .name = "norm_modulate",
      .attrs = {{"norm", AttrType::kString}, {"epsilon", AttrType::kFloat}},
      .min_inputs = 2,
      .max_inputs = 5,
      .infer = ops::infer_norm_modulate,
      .flops = ops::flops_norm_modulate,
      .decompose = ops::decompose_norm_modulate,
      .tolerance = {3e-6, 5e-6},
      .inplace_inputs = 1,
  };
  return def;
}

}  // namespace zoetrope
