// norm_rope: rope(rms_norm(x)·weight) of queries or keys (q/k norm, arXiv 2010.04245, with
// RMSNorm). The statistics are those of each head (weight [D]), or with full_width of the whole row
// H·D before the split into heads (weight [H·D], as in Wan).
#include "graph/builder.h"
#include "graph/ops/inference.h"

namespace zoetrope {
namespace ops {
namespace {

Result<Types> infer_norm_rope(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(Types out, infer_rope(c));
  ZT_RETURN_IF_ERROR(require_epsilon(c.attrs));
  const Shape& x = c.input(0).shape;
  const int64_t width = c.attrs.get_bool("full_width") ? x[2] * x[3] : x[3];
  if (width == 0)
    return error(Code::kInvalidArgument, "nothing to normalise in ", c.input(0).to_string());
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, 3, "weight", width));
  return out;
}

double flops_norm_rope(const OpContext&, std::span<const TensorType> out) {
  return 7 * static_cast<double>(out[0].shape.elements());
}

std::vector<int32_t> decompose_norm_rope(Builder& builder, std::span<const int32_t> inputs,
                                         const Attrs& attrs) {
  const Shape shape = builder.graph().value(inputs[0]).type.shape;
  const ValueId weight = inputs.size() > 3 ? inputs[3] : kNone;
  const double epsilon = attrs.get_float("epsilon");
  ValueId y;
  if (attrs.get_bool("full_width")) {
    y = builder.reshape(inputs[0], {shape[0], shape[1], shape[2] * shape[3]});
    y = builder.rms_norm(y, weight, epsilon);
    y = builder.reshape(y, {shape[0], shape[1], shape[2], shape[3]});
  } else {
    y = builder.rms_norm(inputs[0], weight, epsilon);
  }
  return {builder.rope(y, inputs[1], inputs[2], attrs.get_string("mode"))};
}

}  // namespace
}  // namespace ops

// Inputs: x [B, N, H, D], cos, sin [B or 1, N, 1 or H, D/2], [weight]. Output: x's type.
const OpDef& norm_rope_op() {
  static const OpDef def{
      .kind = OpKind::kNormRope,
      .name = "norm_rope",
      .attrs = {{"epsilon", AttrType::kFloat},
                {"mode", AttrType::kString, false, std::string("interleaved")},
                {"full_width", AttrType::kBool, false, false}},
      .min_inputs = 3,
      .max_inputs = 4,
      .infer = ops::infer_norm_rope,
      .flops = ops::flops_norm_rope,
      .decompose = ops::decompose_norm_rope,
      .tolerance = {2e-6, 5e-6},
      .inplace_inputs = 1,
  };
  return def;
}

}  // namespace zoetrope
