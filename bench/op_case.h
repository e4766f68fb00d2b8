// One op at one shape: what is timed, whatever device or library runs it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/backend/backend.h"

namespace zoetrope::bench {

struct Operand {
  TensorType type;
  bool weight = false;  // known before the run: may be packed
  bool present = true;  // false: an optional input that is left out
};

struct OpCase {
  OpKind op = OpKind::kMatmul;
  std::vector<Operand> inputs;
  Attrs attrs = {};
  DType dtype = DType::kF32;  // of the arithmetic that it is about
  std::string family = {};    // of a curve over `tokens`; empty: none
  int64_t tokens = 0;
};

// "fused_linear 32760x1536 8960x1536 8960 activation=gelu_tanh": equal for equal work in any dtype.
std::string case_name(const OpCase& c);

// An op case bound to its op: attributes filled in and checked, output types, cost. Must not move:
// the request points into it.
class BoundCase {
 public:
  static Result<std::unique_ptr<BoundCase>> create(const OpCase& c);
  BoundCase(const BoundCase&) = delete;

  const KernelRequest& request() const { return request_; }
  const std::vector<Operand>& inputs() const { return case_.inputs; }
  const std::vector<TensorType>& outputs() const { return outputs_; }
  const Node& node() const { return node_; }
  Cost cost() const { return cost_; }
  // Bytes of all operands.
  int64_t bytes() const;

 private:
  explicit BoundCase(const OpCase& c) : case_(c) {}
  const OpCase case_;
  Node node_;
  std::vector<TensorType> outputs_;
  KernelRequest request_;
  Cost cost_;
};

// Operands that mean something: floats in [-1, 1), i8 of all sizes, lengths that are whole, indices
// all over the table. `input` numbers the operand.
std::vector<char> operand_data(const BoundCase& c, size_t input);
// Floats in [-1, 1), i8 of all sizes, other integers zero.
std::vector<char> random_tensor(const TensorType& type, uint64_t seed);

// What is timed by default: every op at `rows` rows, and odd sizes. i8 and f8e4m3 have the ops of
// 8-bit numbers alone.
std::vector<OpCase> every_op(DType dtype, int64_t rows);
std::vector<OpCase> odd_cases(DType dtype);
// Convolutions of video autoencoders, and what has one row.
std::vector<OpCase> special_cases(DType dtype);
// Attention, a product and a norm of a transformer of 12 heads of 128 at so many tokens: curves.
std::vector<OpCase> curve_cases(DType dtype, int64_t tokens);

}  // namespace zoetrope::bench
