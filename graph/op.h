// What an op is: its name, attributes, shape inference, cost, and the double-precision reference
// that defines it. One OpDef an op; graph/ops/ holds them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "graph/attrs.h"
#include "graph/shape.h"
#include "graph/status.h"

namespace zoetrope {

class Builder;

enum class OpKind : uint16_t {
#define ZT_OP(kind, name, def) kind,
#include "graph/ops/op_list.inc"
#undef ZT_OP
};

// One node as an op sees it: concrete types and constant attributes.
struct OpContext {
  std::span<const TensorType* const> inputs;  // null where an optional input is absent
  const Attrs& attrs;

  bool has(size_t i) const { return i < inputs.size() && inputs[i] != nullptr; }
  const TensorType& input(size_t i) const { return *inputs[i]; }
};

struct Cost {
  double flops = 0;  // multiply and add count as two
  double bytes = 0;  // each input read once, each output written once
};

// Tensors of the reference evaluation: every element widened to double, row major.
struct RefTensor {
  Shape shape;
  std::span<const double> data;
};

// |out − ref| ≤ absolute + relative·|ref|, for f32 kernels; kernels in narrower types are allowed
// their own rounding on top (tests/conformance scales these by the dtype's epsilon).
struct Tolerance {
  double absolute = 1e-6;
  double relative = 1e-5;
};

struct OpDef {
  OpKind kind;
  std::string_view name;
  std::vector<AttrSpec> attrs;
  int min_inputs = 1;
  int max_inputs = 1;  // -1: any number

  // Checks dtypes, shapes and attributes of a bound node and gives its output types. Errors say
  // what was expected and what was found; the caller adds the node's name.
  Result<std::vector<TensorType>> (*infer)(const OpContext& context) = nullptr;

  // Dtype of output 0 where it does not depend on shapes: used before binding. Null: input 0's. The
  // others are f32.
  DType (*output_dtype)(std::span<const DType> inputs, const Attrs& attrs) = nullptr;

  int output_count = 1;

  // Null: no arithmetic worth counting; bytes are always counted generically.
  double (*flops)(const OpContext& context, std::span<const TensorType> outputs) = nullptr;

  // The definition, in double. `outputs` are sized. Null for fused ops (decompose defines those).
  void (*reference)(const OpContext& context, std::span<const RefTensor* const> inputs,
                    std::span<const TensorType> output_types,
                    std::span<std::vector<double>> outputs) = nullptr;

  // Fused ops: appends nodes that compute the same from `inputs` (a negative id marks an absent
  // optional input) and returns the outputs. The nodes are core ops, or fused ones that stand
  // earlier in op_list.inc, so that decomposing ends. Null for core ops.
  std::vector<int32_t> (*decompose)(Builder& builder, std::span<const int32_t> inputs,
                                    const Attrs& attrs) = nullptr;

  Tolerance tolerance;
  // The output is the same bytes as input 0 under another shape (reshape).
  bool is_view = false;
  // Bit i: output 0 (of several) may overwrite input i when that dies here and has its type.
  uint32_t inplace_inputs = 0;

  bool is_fused() const { return decompose != nullptr; }
};

const OpDef& op_def(OpKind kind);
// Null when the name is unknown.
const OpDef* find_op(std::string_view name);
std::span<const OpKind> all_ops();

// Fills in defaults and checks names, types and counts. `node` names the node in errors.
Status verify_attrs(const OpDef& def, Attrs* attrs);

// Cost of a bound node.
Cost node_cost(const OpDef& def, const OpContext& context, std::span<const TensorType> outputs);

// Definition functions, one an op.
#define ZT_OP(kind, name, def) const OpDef& def();
#include "graph/ops/op_list.inc"
#undef ZT_OP

}  // namespace zoetrope
