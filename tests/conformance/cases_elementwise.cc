#include <limits>

#include "tests/conformance/case.h"

namespace zoetrope::conformance {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

void add_unary(std::vector<Case>* cases, OpKind op, double lo, double hi,
               std::vector<double> special) {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{17}, Shape{3, 1, 5}, Shape{2, 3, 1, 2, 3, 5},
                             Shape{0, 4}, Shape{3, 4099}})
    cases->push_back({op, "drawn", {in(shape, lo, hi)}, {}});
  // 37 elements: more than two vectors and a tail of any instruction set.
  if (!special.empty()) cases->push_back({op, "special values", {values({37}, special)}, {}});
}

void add_binary(std::vector<Case>* cases, OpKind op, double lo, double hi) {
  const std::pair<Shape, Shape> shapes[] = {
      {{}, {}},
      {{7}, {7}},
      {{1}, {33}},
      {{2, 3, 37}, {2, 3, 37}},
      {{2, 3, 37}, {37}},
      {{2, 3, 37}, {1, 3, 1}},
      {{2, 1, 19}, {2, 5, 19}},
      {{3, 1, 5, 1}, {2, 1, 7}},
      {{}, {4, 9}},
      {{1, 2, 3, 1, 2, 7}, {2, 1, 3, 4, 1, 7}},
      {{0, 3}, {1, 3}},
      {{5, 1031}, {5, 1}},
      {{2, 65, 384}, {2, 1, 384}},
  };
  for (const auto& [a, b] : shapes)
    cases->push_back({op, "broadcast", {in(a, lo, hi), in(b, lo, hi)}, {}});
}

}  // namespace

std::vector<Case> elementwise_cases() {
  std::vector<Case> cases;
  const double tiny = 1e-6;
  add_unary(&cases, OpKind::kNeg, -3, 3, {0.0, -0.0, kInf, -kInf});
  add_unary(&cases, OpKind::kAbs, -3, 3, {0.0, -0.0, kInf, -kInf, -tiny});
  add_unary(&cases, OpKind::kExp, -8, 8, {0, -200, -kInf, 1, -1});
  add_unary(&cases, OpKind::kLog, 0.01, 9, {1, 1.0078125, 1024, 0.0009765625});
  add_unary(&cases, OpKind::kSqrt, 0, 9, {0, 1, 4, 65504});
  add_unary(&cases, OpKind::kRsqrt, 0.01, 9, {1, 4, 16384});
  add_unary(&cases, OpKind::kSin, -40, 40, {0, 1000, -1000, 6000});
  add_unary(&cases, OpKind::kCos, -40, 40, {0, 1000, -1000, 6000});
  add_unary(&cases, OpKind::kTanh, -5, 5, {0, 100, -100, tiny, -tiny, kInf, -kInf});
  add_unary(&cases, OpKind::kSigmoid, -9, 9, {0, 200, -200, kInf, -kInf});
  add_unary(&cases, OpKind::kSilu, -9, 9, {0, 200, -200, tiny});
  add_unary(&cases, OpKind::kGeluTanh, -6, 6, {0, 30, -30, tiny, 1000, -1000});
  add_unary(&cases, OpKind::kGelu, -6, 6, {0, 30, -30, tiny, 1000, -1000});
  add_unary(&cases, OpKind::kRelu, -2, 2, {0, -0.5, 3, kInf, -kInf});
  add_unary(&cases, OpKind::kFloor, -20, 20, {0, -0.5, 0.5, 3, -3, 255.5});

  for (OpKind op : {OpKind::kAdd, OpKind::kSub, OpKind::kMul, OpKind::kMin, OpKind::kMax}) {
    add_binary(&cases, op, -4, 4);
    cases.push_back({op,
                     "integers",
                     {fixed(DType::kI32, {3, 17}, -9, 9), fixed(DType::kI32, {17}, -9, 9)},
                     {}});
  }
  add_binary(&cases, OpKind::kDiv, 0.5, 4);
  add_binary(&cases, OpKind::kPow, 0.5, 3);
  cases.push_back({OpKind::kPow, "square", {in({3, 17}, -3, 3), values({}, {2})}, {}});
  add_binary(&cases, OpKind::kLess, -1, 1);
  for (OpKind op : {OpKind::kLess, OpKind::kEqual}) {
    cases.push_back({op, "ties", {values({41}, {0, 1, 2, 3}), values({41}, {0, 2, 2})}, {}});
    cases.push_back(
        {op, "integers", {fixed(DType::kI32, {5, 1}, 0, 3), fixed(DType::kI32, {1, 7}, 0, 3)}, {}});
  }
  const std::vector<double> bits = {0, 1, 1, 0, 1};
  for (const Shape& shape : {Shape{}, Shape{19}, Shape{2, 3, 5}})
    cases.push_back({OpKind::kSelect,
                     "same shapes",
                     {fixed_values(DType::kBool, shape, bits), in(shape), in(shape)},
                     {}});
  cases.push_back({OpKind::kSelect,
                   "broadcast",
                   {fixed_values(DType::kBool, {4, 1}, bits), in({1, 33}), in({3, 1, 1})},
                   {}});

  for (DType to : {DType::kF32, DType::kBF16, DType::kF16, DType::kI32, DType::kBool})
    for (const Shape& shape : {Shape{}, Shape{35}, Shape{3, 1027}})
      cases.push_back({OpKind::kCast,
                       "to " + std::string(dtype_name(to)),
                       {in(shape, -90, 90)},
                       {{"dtype", text(dtype_name(to))}}});
  // Weights of any storage dtype are cast where an op needs equal dtypes.
  for (DType from : {DType::kF16, DType::kBF16, DType::kI32, DType::kI64, DType::kU8,
                     DType::kF8E4M3, DType::kF8E5M2})
    cases.push_back(
        {OpKind::kCast, "to f32", {fixed(from, {3, 1027}, 0, 100)}, {{"dtype", text("f32")}}});
  for (DType from : {DType::kF16, DType::kF32})
    cases.push_back(
        {OpKind::kCast, "to bf16", {fixed(from, {3, 1027}, -100, 100)}, {{"dtype", text("bf16")}}});
  const std::vector<double> wide = {0, -1, 5e9, -5e9, 2147483647, -2147483648.0, 70000, 300, -300};
  for (const char* to : {"i32", "u8", "i64", "bool", "f32"})
    cases.push_back(
        {OpKind::kCast, "wide", {fixed_values(DType::kI64, {37}, wide)}, {{"dtype", text(to)}}});
  const std::vector<double> large = {0, -0.75, 1.5, -7e9, 3e18, 1e19, -1e19, kInf, -kInf, 8388609};
  for (const char* to : {"i64", "i32", "u8", "bool"})
    cases.push_back(
        {OpKind::kCast, "large", {fixed_values(DType::kF32, {37}, large)}, {{"dtype", text(to)}}});
  cases.push_back({OpKind::kCast,
                   "to f32",
                   {fixed_values(DType::kBool, {37}, {0, 1, 1})},
                   {{"dtype", text("f32")}}});
  return cases;
}

}  // namespace zoetrope::conformance
