// gated_residual: x + gate·y, the end of an adaLN-Zero branch (arXiv 2212.09748, section 3.2).
#include "graph/builder.h"
#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

Result<Types> infer_gated_residual(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 3));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "x"));
  ZT_RETURN_IF_ERROR(require_same_dtype(c, 1, "y", c.input(0).dtype));
  ZT_RETURN_IF_ERROR(require_shape(c, 1, "y", c.input(0).shape));
  ZT_RETURN_IF_ERROR(require_broadcastable_or_absent(c, 2, "gate", c.input(0).shape));
  return Types{c.input(0)};
}

double flops_gated_residual(const OpContext&, std::span<const TensorType> out) {
  return 2 * static_cast<double>(out[0].shape.elements());
}

std::vector<int32_t> decompose_gated_residual(Builder& builder, std::span<const int32_t> inputs,
                                              const Attrs&) {
  const DType dtype = builder.graph().value(inputs[0]).type.dtype;
  const ValueId gated = builder.mul(inputs[1], decompose_cast(builder, inputs[2], dtype));
  return {builder.add(inputs[0], gated)};
}

}  // namespace
}  // namespace ops

// Inputs: x, y (of x's type), gate: any float dtype, broadcasts to x. Output: x's dtype.
const OpDef& gated_residual_op() {
  static const OpDef def{
      .kind = OpKind::kGatedResidual,
      .name = "gated_residual",
      .attrs = {},
      .min_inputs = 3,
      .max_inputs = 3,
      .infer = ops::infer_gated_residual,
      .flops = ops::flops_gated_residual,
      .decompose = ops::decompose_gated_residual,
      .tolerance = {1e-6, 1e-6},
      .inplace_inputs = 3,
  };
  return def;
}

}  // namespace zoetrope
