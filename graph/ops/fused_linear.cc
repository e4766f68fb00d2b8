// fused_linear: activation(matmul(x, w) + bias), accumulated and activated in f32, rounded once.
#include "graph/builder.h"
#include "graph/ops/inference.h"

namespace zoetrope {
namespace ops {
namespace {

Result<Types> infer_linear(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(Types out, infer_matmul(c));
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, 2, "bias", out[0].shape[-1]));
  ZT_RETURN_IF_ERROR(require_activation(c.attrs));
  return out;
}

std::vector<int32_t> decompose_linear(Builder& builder, std::span<const int32_t> inputs,
                                      const Attrs& attrs) {
  const DType dtype = builder.graph().value(inputs[0]).type.dtype;
  ValueId y = builder.matmul(inputs[0], inputs[1], attrs.get_bool("transpose_b"));
  if (inputs.size() > 2 && inputs[2] != kNone)
    y = builder.add(y, decompose_cast(builder, inputs[2], dtype));
  return {decompose_activation(builder, y, attrs)};
}

}  // namespace
}  // namespace ops

// Inputs: x [..., K], w [N, K] (transpose_b) or [K, N], [bias] [N]. Output: x's dtype.
const OpDef& fused_linear_op() {
  static const OpDef def{
      .kind = OpKind::kLinear,
      .name = "fused_linear",
      .attrs = {{"transpose_b", AttrType::kBool, false, false},
                {"activation", AttrType::kString, false, std::string("none")}},
      .min_inputs = 2,
      .max_inputs = 3,
      .infer = ops::infer_linear,
      .flops = ops::flops_matmul,
      .decompose = ops::decompose_linear,
      .tolerance = {1e-5, 1e-5},
  };
  return def;
}

}  // namespace zoetrope
