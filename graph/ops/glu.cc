// glu: activation(a)·b, the gated units of arXiv 2002.05202 (silu: SwiGLU, gelu: GEGLU).
#include "graph/builder.h"
#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

Result<Types> infer_glu(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_activated(c));
  if (c.has(1)) return Types{c.input(0)};
  ZT_RETURN_IF_ERROR(require_rank(c, 0, "a", 1, kMaxRank));
  Shape shape = c.input(0).shape;
  if (shape[-1] % 2 != 0)
    return error(Code::kInvalidArgument, "the last dimension must hold two halves; found ",
                 c.input(0).to_string());
  shape[-1] /= 2;
  return one_output(c.input(0).dtype, shape);
}

double flops_glu(const OpContext&, std::span<const TensorType> out) {
  return 12 * static_cast<double>(out[0].shape.elements());
}

std::vector<int32_t> decompose_glu(Builder& builder, std::span<const int32_t> inputs,
                                   const Attrs& attrs) {
  ValueId a = inputs[0], b = inputs.size() > 1 ? inputs[1] : kNone;
  if (b == kNone) {
    const int64_t half = builder.graph().value(a).type.shape[-1] / 2;
    const std::vector<ValueId> halves = builder.split(a, -1, half, 2);
    a = halves[0];
    b = halves[1];
    if (attrs.get_bool("gate_second")) std::swap(a, b);
  }
  return {builder.mul(decompose_activation(builder, a, attrs), b)};
}

}  // namespace
}  // namespace ops

// Inputs: a, b of one type; or one tensor [..., 2F] that holds a then b (b then a with
// gate_second).
const OpDef& glu_op() {
  static const OpDef def{
      .kind = OpKind::kGlu,
      .name = "glu",
      .attrs = {{"activation", AttrType::kString, false, std::string("silu")},
                {"gate_second", AttrType::kBool, false, false}},
      .min_inputs = 1,
      .max_inputs = 2,
      .infer = ops::infer_glu,
      .flops = ops::flops_glu,
      .decompose = ops::decompose_glu,
      .tolerance = {1e-6, 4e-6},
      .inplace_inputs = 3,
  };
  return def;
}

}  // namespace zoetrope
