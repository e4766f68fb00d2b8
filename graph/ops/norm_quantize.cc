// norm_quantize and residual_norm_quantize: a norm, modulated or not, whose rows products of 8-bit
// numbers read, quantised before they are stored.
#include "graph/builder.h"
#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

// The norm alone, and what stands before the rows among the outputs.
Attrs norm_attrs(const Attrs& attrs) {
  return {{"norm", attrs.get_string("norm")}, {"epsilon", attrs.get_float("epsilon")}};
}
Attrs rows_attrs(const Attrs& attrs) {
  return {{"dtype", attrs.get_string("dtype")}, {"rotation", Dim(0)}};
}

// Of the rows h: their numbers and factors.
Result<Types> quantized(const TensorType& h, const Attrs& attrs) {
  const TensorType* input = &h;
  const Attrs rows = rows_attrs(attrs);
  return quantize_rows_op().infer({std::span(&input, 1), rows});
}

Result<Types> infer_norm_quantize(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  if (c.has(2) && !c.has(1)) return error(Code::kInvalidArgument, "a shift needs a scale");
  const Attrs attrs = norm_attrs(c.attrs);
  // Without a scale it is a norm like norm_modulate's in all but that.
  std::vector<const TensorType*> inputs(c.inputs.begin(), c.inputs.end());
  const TensorType one{DType::kF32, {}};
  inputs.resize(std::max<size_t>(inputs.size(), 2));
  if (inputs[1] == nullptr) inputs[1] = &one;
  ZT_ASSIGN_OR_RETURN(const Types h, norm_modulate_op().infer({inputs, attrs}));
  return quantized(h[0], c.attrs);
}

Result<Types> infer_residual_norm_quantize(const OpContext& c) {
  const Attrs attrs = norm_attrs(c.attrs);
  ZT_ASSIGN_OR_RETURN(Types out, residual_norm_op().infer({c.inputs, attrs}));
  ZT_ASSIGN_OR_RETURN(Types rows, quantized(out[1], c.attrs));
  return Types{out[0], rows[0], rows[1]};
}

DType norm_quantize_dtype(std::span<const DType>, const Attrs& attrs) { return dtype_attr(attrs); }

double flops_norm_quantize(const OpContext&, std::span<const TensorType> out) {
  return 13 * static_cast<double>(out[0].shape.elements());
}
double flops_residual_norm_quantize(const OpContext&, std::span<const TensorType> out) {
  return 15 * static_cast<double>(out[0].shape.elements());
}

std::vector<int32_t> decompose_norm_quantize(Builder& builder, std::span<const int32_t> inputs,
                                             const Attrs& attrs) {
  const auto input = [&](size_t i) { return i < inputs.size() ? inputs[i] : kNone; };
  const double epsilon = attrs.get_float("epsilon");
  ValueId h;
  if (input(1) != kNone)
    h = builder.op(OpKind::kNormModulate, {inputs[0], input(1), input(2), input(3), input(4)},
                   norm_attrs(attrs));
  else if (attrs.get_string("norm") == "rms")
    h = builder.rms_norm(inputs[0], input(3), epsilon);
  else
    h = builder.layer_norm(inputs[0], input(3), input(4), epsilon);
  return builder.add_node(OpKind::kQuantizeRows, {h}, rows_attrs(attrs), "");
}

std::vector<int32_t> decompose_residual_norm_quantize(Builder& builder,
                                                      std::span<const int32_t> inputs,
                                                      const Attrs& attrs) {
  const std::vector<ValueId> sum = builder.add_node(
      OpKind::kResidualNorm, {inputs.begin(), inputs.end()}, norm_attrs(attrs), "");
  if (sum.size() != 2) return {};  // the builder has the error
  const std::vector<ValueId> rows =
      builder.add_node(OpKind::kQuantizeRows, {sum[1]}, rows_attrs(attrs), "");
  if (rows.size() != 2) return {};
  return {sum[0], rows[0], rows[1]};
}

}  // namespace
}  // namespace ops

// Inputs: x [..., C], [scale], [shift], [weight] [C], [bias] [C], as norm_modulate's. Outputs: q
// [..., C] of attribute `dtype` and its factors f32 [..., 1], as quantize_rows gives them; h may be
// taken before or after it is rounded to x's dtype.
const OpDef& norm_quantize_op() {
  static const OpDef def{
      .kind = OpKind::kNormQuantize,
      .name = "norm_quantize",
      .attrs = {{"norm", AttrType::kString},
                {"epsilon", AttrType::kFloat},
                {"dtype", AttrType::kString}},
      .min_inputs = 1,
      .max_inputs = 5,
      .infer = ops::infer_norm_quantize,
      .output_dtype = ops::norm_quantize_dtype,
      .output_count = 2,
      .flops = ops::flops_norm_quantize,
      .decompose = ops::decompose_norm_quantize,
      .tolerance = {3e-6, 5e-6},
  };
  return def;
}

// Inputs: residual_norm's. Outputs: x', then q and its factors of h.
const OpDef& residual_norm_quantize_op() {
  static const OpDef def{
      .kind = OpKind::kResidualNormQuantize,
      .name = "residual_norm_quantize",
      .attrs = {{"norm", AttrType::kString},
                {"epsilon", AttrType::kFloat},
                {"dtype", AttrType::kString}},
      .min_inputs = 2,
      .max_inputs = 7,
      .infer = ops::infer_residual_norm_quantize,
      .output_count = 3,
      .flops = ops::flops_residual_norm_quantize,
      .decompose = ops::decompose_residual_norm_quantize,
      .tolerance = {3e-6, 5e-6},
      .inplace_inputs = 3,
  };
  return def;
}

}  // namespace zoetrope
