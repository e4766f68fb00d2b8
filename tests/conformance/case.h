// One conformance case: an op, its attributes, and how its inputs are drawn. Every backend runs
// every case in every dtype; see runner.h.
#pragma once

#include <string>
#include <vector>

#include "graph/op.h"

namespace zoetrope::conformance {

enum class InputKind {
  kAbsent,   // optional input left out
  kCompute,  // has the compute dtype under test
  kStorage,  // a weight: has the storage dtype under test, given once packed and once as a plain
             // buffer
  kFixedWeight,  // a weight that has `dtype` always, given both ways too
  kFixed,        // has `dtype` always (indices, masks, rotary tables)
};

struct CaseInput {
  InputKind kind = InputKind::kCompute;
  Shape shape;
  DType dtype = DType::kF32;
  double lo = -1, hi = 1;      // drawn uniformly; integers from [lo, hi]
  std::vector<double> values;  // when given, repeated over the tensor instead of drawing
};

struct Case {
  OpKind op;
  std::string label;
  std::vector<CaseInput> inputs;
  Attrs attrs;
};

// The dtypes of one run of a case.
struct Variant {
  DType compute = DType::kF32;
  DType storage = DType::kF32;
  bool packed = true;  // weights are given as weights, not as computed values
};

inline DType input_dtype(const CaseInput& input, const Variant& variant) {
  switch (input.kind) {
    case InputKind::kCompute: return variant.compute;
    case InputKind::kStorage: return variant.storage;
    default: return input.dtype;
  }
}

inline bool is_weight_kind(InputKind kind) {
  return kind == InputKind::kStorage || kind == InputKind::kFixedWeight;
}

inline CaseInput in(Shape shape, double lo = -1, double hi = 1) {
  return {InputKind::kCompute, shape, DType::kF32, lo, hi, {}};
}
inline CaseInput values(Shape shape, std::vector<double> list) {
  return {InputKind::kCompute, shape, DType::kF32, 0, 0, std::move(list)};
}
// Drawn from ±`bound`.
inline CaseInput weight(Shape shape, double bound = 1) {
  return {InputKind::kStorage, shape, DType::kF32, -bound, bound, {}};
}
inline CaseInput fixed(DType dtype, Shape shape, double lo = -1, double hi = 1) {
  return {InputKind::kFixed, shape, dtype, lo, hi, {}};
}
inline CaseInput fixed_values(DType dtype, Shape shape, std::vector<double> list) {
  return {InputKind::kFixed, shape, dtype, 0, 0, std::move(list)};
}
inline CaseInput fixed_weight(DType dtype, Shape shape, double lo = -1, double hi = 1) {
  return {InputKind::kFixedWeight, shape, dtype, lo, hi, {}};
}
inline CaseInput absent() { return {InputKind::kAbsent, {}, DType::kF32, 0, 0, {}}; }

inline AttrValue ints(std::initializer_list<int64_t> list) {
  return std::vector<Dim>(list.begin(), list.end());
}
inline AttrValue text(std::string_view value) { return std::string(value); }

// The lists; each file holds the cases of a family of ops.
std::vector<Case> elementwise_cases();
std::vector<Case> layout_cases();
std::vector<Case> norm_cases();
std::vector<Case> contraction_cases();
std::vector<Case> attention_cases();
std::vector<Case> fused_cases();
std::vector<Case> quantized_cases();
std::vector<Case> all_cases();

}  // namespace zoetrope::conformance
