// activate_quantize: activation(a), or activation(a)·b, as rows that products of 8-bit numbers
// read, quantised before they are stored.
#include "graph/builder.h"
#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

Result<Types> infer_activate_quantize(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_activated(c));
  const Attrs rows{{"dtype", c.attrs.get_string("dtype")}, {"rotation", Dim(0)}};
  return quantize_rows_op().infer({c.inputs.first(1), rows});
}

DType activate_quantize_dtype(std::span<const DType>, const Attrs& attrs) {
  return dtype_attr(attrs);
}

double flops_activate_quantize(const OpContext&, std::span<const TensorType> out) {
  return 16 * static_cast<double>(out[0].shape.elements());
}

std::vector<int32_t> decompose_activate_quantize(Builder& builder, std::span<const int32_t> inputs,
                                                 const Attrs& attrs) {
  const bool gated = inputs.size() > 1 && inputs[1] != kNone;
  const ValueId y = gated ? builder.op(OpKind::kGlu, {inputs[0], inputs[1]},
                                       {{"activation", attrs.get_string("activation")}})
                          : decompose_activation(builder, inputs[0], attrs);
  return builder.add_node(OpKind::kQuantizeRows, {y}, {{"dtype", attrs.get_string("dtype")}}, "");
}

}  // namespace
}  // namespace ops

// Inputs: a [..., K] of any float dtype, [b] of its type. Outputs: q [..., K] of attribute `dtype`
// and its factors f32 [..., 1], as quantize_rows gives them; what it quantises may be taken before
// or after it is rounded to a's dtype.
const OpDef& activate_quantize_op() {
  static const OpDef def{
      .kind = OpKind::kActivateQuantize,
      .name = "activate_quantize",
      .attrs = {{"activation", AttrType::kString}, {"dtype", AttrType::kString}},
      .min_inputs = 1,
      .max_inputs = 2,
      .infer = ops::infer_activate_quantize,
      .output_dtype = ops::activate_quantize_dtype,
      .output_count = 2,
      .flops = ops::flops_activate_quantize,
      .decompose = ops::decompose_activate_quantize,
      .tolerance = {1e-6, 4e-6},
  };
  return def;
}

}  // namespace zoetrope
