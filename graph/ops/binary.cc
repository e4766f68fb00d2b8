// Elementwise ops of two inputs with NumPy broadcasting, and select. Both inputs have one dtype.
#include <cmath>

#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

double add(double a, double b) { return a + b; }
double sub(double a, double b) { return a - b; }
double mul(double a, double b) { return a * b; }
double div(double a, double b) { return a / b; }
double minimum(double a, double b) { return std::isnan(a) || a < b ? a : b; }
double maximum(double a, double b) { return std::isnan(a) || a > b ? a : b; }
double power(double a, double b) { return std::pow(a, b); }
double less(double a, double b) { return a < b ? 1 : 0; }
double equal(double a, double b) { return a == b ? 1 : 0; }

Result<Shape> infer_operands(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 2));
  ZT_RETURN_IF_ERROR(require_same_dtype(c, 1, "b", c.input(0).dtype));
  return broadcast_shapes(c.input(0).shape, c.input(1).shape);
}

// Floats and integers.
Result<Types> infer_arithmetic(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(const Shape shape, infer_operands(c));
  ZT_RETURN_IF_ERROR(require_number(c, 0, "a"));
  return Types{{c.input(0).dtype, shape}};
}

// Floats only: no integer division in the core set.
Result<Types> infer_float(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(const Shape shape, infer_operands(c));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "a"));
  return Types{{c.input(0).dtype, shape}};
}

Result<Types> infer_compare(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(const Shape shape, infer_operands(c));
  return Types{{DType::kBool, shape}};
}

DType bool_dtype(std::span<const DType>, const Attrs&) { return DType::kBool; }

template <double (*F)(double, double)>
void reference_binary(const OpContext&, RefInputs in, std::span<const TensorType> types,
                      RefOutputs out) {
  const Shape& shape = types[0].shape;
  const std::array strides{broadcast_strides(in[0]->shape, shape),
                           broadcast_strides(in[1]->shape, shape)};
  for_each_element(shape, strides, [&](int64_t i, const auto& at) {
    out[0][idx(i)] = F(in[0]->data[idx(at[0])], in[1]->data[idx(at[1])]);
  });
}

double flops_elementwise(const OpContext&, std::span<const TensorType> out) {
  return static_cast<double>(out[0].shape.elements());
}

template <double (*F)(double, double)>
OpDef binary_def(OpKind kind, std::string_view name,
                 Result<Types> (*infer)(const OpContext& context), Tolerance tolerance) {
  const bool compares = infer == infer_compare;
  return OpDef{
      .kind = kind,
      .name = name,
      .attrs = {},
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = infer,
      .output_dtype = compares ? bool_dtype : nullptr,
      .flops = flops_elementwise,
      .reference = reference_binary<F>,
      .tolerance = tolerance,
      .inplace_inputs = compares ? 0u : 3u,
  };
}

Result<Types> infer_select(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 3));
  ZT_RETURN_IF_ERROR(require_same_dtype(c, 0, "condition", DType::kBool));
  ZT_RETURN_IF_ERROR(require_same_dtype(c, 2, "b", c.input(1).dtype));
  ZT_ASSIGN_OR_RETURN(const Shape ab, broadcast_shapes(c.input(1).shape, c.input(2).shape));
  ZT_ASSIGN_OR_RETURN(const Shape shape, broadcast_shapes(c.input(0).shape, ab));
  return Types{{c.input(1).dtype, shape}};
}

DType select_dtype(std::span<const DType> inputs, const Attrs&) {
  return inputs.size() > 1 ? inputs[1] : DType::kF32;
}

void reference_select(const OpContext&, RefInputs in, std::span<const TensorType> types,
                      RefOutputs out) {
  const Shape& shape = types[0].shape;
  const std::array strides{broadcast_strides(in[0]->shape, shape),
                           broadcast_strides(in[1]->shape, shape),
                           broadcast_strides(in[2]->shape, shape)};
  for_each_element(shape, strides, [&](int64_t i, const auto& at) {
    out[0][idx(i)] =
        in[0]->data[idx(at[0])] != 0 ? in[1]->data[idx(at[1])] : in[2]->data[idx(at[2])];
  });
}

}  // namespace
}  // namespace ops

#define ZT_BINARY(def, kind, name, function, infer, ...)                                        \
  const OpDef& def() {                                                                          \
    static const OpDef d =                                                                      \
        ops::binary_def<ops::function>(OpKind::kind, name, ops::infer, Tolerance{__VA_ARGS__}); \
    return d;                                                                                   \
  }

ZT_BINARY(add_op, kAdd, "add", add, infer_arithmetic, 0, 1e-7)
ZT_BINARY(sub_op, kSub, "sub", sub, infer_arithmetic, 0, 1e-7)
ZT_BINARY(mul_op, kMul, "mul", mul, infer_arithmetic, 0, 1e-7)
ZT_BINARY(div_op, kDiv, "div", div, infer_float, 0, 3e-7)
// NaN in a gives NaN.
ZT_BINARY(min_op, kMin, "min", minimum, infer_arithmetic, 0, 0)
ZT_BINARY(max_op, kMax, "max", maximum, infer_arithmetic, 0, 0)
ZT_BINARY(pow_op, kPow, "pow", power, infer_float, 1e-6, 1e-5)
// a < b and a == b, as bool.
ZT_BINARY(less_op, kLess, "less", less, infer_compare, 0, 0)
ZT_BINARY(equal_op, kEqual, "equal", equal, infer_compare, 0, 0)

#undef ZT_BINARY

// condition ? a : b, element by element; condition is bool, all three broadcast.
const OpDef& select_op() {
  static const OpDef def{
      .kind = OpKind::kSelect,
      .name = "select",
      .attrs = {},
      .min_inputs = 3,
      .max_inputs = 3,
      .infer = ops::infer_select,
      .output_dtype = ops::select_dtype,
      .reference = ops::reference_select,
      .tolerance = {0, 0},
      .inplace_inputs = 6,
  };
  return def;
}

}  // namespace zoetrope
