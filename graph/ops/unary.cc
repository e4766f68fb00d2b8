// Elementwise ops of one float input, and cast. One table: name, formula, FLOPs, tolerance.
#include <cmath>
#include <numbers>

#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

double neg(double x) { return -x; }
double absolute(double x) { return std::fabs(x); }
double exponential(double x) { return std::exp(x); }
double logarithm(double x) { return std::log(x); }
double square_root(double x) { return std::sqrt(x); }
double rsqrt(double x) { return 1 / std::sqrt(x); }
double sine(double x) { return std::sin(x); }
double cosine(double x) { return std::cos(x); }
double hyperbolic_tangent(double x) { return std::tanh(x); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
// Also called swish: arXiv 1702.03118.
double silu(double x) { return x * sigmoid(x); }
// arXiv 1606.08415: the exact form, and the tanh approximation of its section 2.
double gelu(double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); }
double gelu_tanh(double x) {
  constexpr double kSqrt2OverPi = 0.79788456080286535588;
  return 0.5 * x * (1 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
}
double relu(double x) { return x > 0 || std::isnan(x) ? x : 0; }
double floor_(double x) { return std::floor(x); }

Result<Types> infer_unary(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "x"));
  return Types{c.input(0)};
}

template <double (*F)(double)>
void reference_unary(const OpContext&, RefInputs in, std::span<const TensorType>, RefOutputs out) {
  for (size_t i = 0; i < out[0].size(); ++i) out[0][i] = F(in[0]->data[i]);
}

template <int N>
double flops_unary(const OpContext&, std::span<const TensorType> out) {
  return N * static_cast<double>(out[0].shape.elements());
}

template <double (*F)(double), int Flops>
OpDef unary_def(OpKind kind, std::string_view name, Tolerance tolerance) {
  return OpDef{
      .kind = kind,
      .name = name,
      .attrs = {},
      .infer = infer_unary,
      .flops = flops_unary<Flops>,
      .reference = reference_unary<F>,
      .tolerance = tolerance,
      .inplace_inputs = 1,
  };
}

Result<Types> infer_cast(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_ASSIGN_OR_RETURN(const DType dtype, checked_dtype_attr(c.attrs));
  return one_output(dtype, c.input(0).shape);
}

DType cast_dtype(std::span<const DType>, const Attrs& attrs) { return dtype_attr(attrs); }

// To integers: toward zero, saturated, NaN to 0. To bool: x ≠ 0. To floats the rounding is the
// store's.
void reference_cast(const OpContext&, RefInputs in, std::span<const TensorType> types,
                    RefOutputs out) {
  const DType dtype = types[0].dtype;
  for (size_t i = 0; i < out[0].size(); ++i) {
    const double x = in[0]->data[i];
    if (is_float(dtype)) {
      out[0][i] = x;
    } else {
      int64_t bits = 0;
      store_element(dtype, &bits, 0, x);
      out[0][i] = load_element(dtype, &bits, 0);
    }
  }
}

}  // namespace
}  // namespace ops

#define ZT_UNARY(def, kind, name, function, flops, ...)                                   \
  const OpDef& def() {                                                                    \
    static const OpDef d =                                                                \
        ops::unary_def<ops::function, flops>(OpKind::kind, name, Tolerance{__VA_ARGS__}); \
    return d;                                                                             \
  }

// The tolerances of sin and cos are for |x| ≤ 2^13: beyond, f32 angles carry no information.
ZT_UNARY(neg_op, kNeg, "neg", neg, 1, 0, 0)
ZT_UNARY(abs_op, kAbs, "abs", absolute, 1, 0, 0)
ZT_UNARY(exp_op, kExp, "exp", exponential, 8, 1e-30, 2e-6)
ZT_UNARY(log_op, kLog, "log", logarithm, 8, 1e-6, 2e-6)
ZT_UNARY(sqrt_op, kSqrt, "sqrt", square_root, 1, 0, 1e-6)
ZT_UNARY(rsqrt_op, kRsqrt, "rsqrt", rsqrt, 2, 0, 1e-6)
ZT_UNARY(sin_op, kSin, "sin", sine, 8, 2e-6, 1e-6)
ZT_UNARY(cos_op, kCos, "cos", cosine, 8, 2e-6, 1e-6)
ZT_UNARY(tanh_op, kTanh, "tanh", hyperbolic_tangent, 10, 1e-6, 2e-6)
ZT_UNARY(sigmoid_op, kSigmoid, "sigmoid", sigmoid, 10, 1e-7, 2e-6)
ZT_UNARY(silu_op, kSilu, "silu", silu, 11, 1e-6, 2e-6)
ZT_UNARY(gelu_tanh_op, kGeluTanh, "gelu_tanh", gelu_tanh, 15, 2e-6, 4e-6)
ZT_UNARY(gelu_op, kGelu, "gelu", gelu, 15, 2e-6, 4e-6)
ZT_UNARY(relu_op, kRelu, "relu", relu, 1, 0, 0)
ZT_UNARY(floor_op, kFloor, "floor", floor_, 1, 0, 0)

#undef ZT_UNARY

// x in another dtype.
const OpDef& cast_op() {
  static const OpDef def{
      .kind = OpKind::kCast,
      .name = "cast",
      .attrs = {{"dtype", AttrType::kString}},
      .infer = ops::infer_cast,
      .output_dtype = ops::cast_dtype,
      .reference = ops::reference_cast,
      .tolerance = {0, 0},
  };
  return def;
}

}  // namespace zoetrope
