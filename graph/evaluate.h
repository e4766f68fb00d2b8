// Evaluates a bound graph by the ops' own definitions, in double: what every backend and every pass
// is judged against. Slow; for tests, parity and constant folding.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "graph/weights.h"

namespace zoetrope {

// A tensor of any dtype, its elements widened to double, row major.
struct EvalTensor {
  Shape shape;
  std::vector<double> data;
};

using EvalTensors = std::map<std::string, EvalTensor, std::less<>>;

struct EvaluateOptions {
  // Rounds inputs, weights and every node's output to its dtype, as a backend's buffers do. Off,
  // only casts to integers round: the result is the exact one.
  bool round_to_dtype = false;
  // Also report the values of these names (any input, weight or node output).
  std::vector<std::string> watch;
};

// Output name (or watched value name) → tensor. Needs every input of the graph; states are inputs
// too. Fused nodes go through their decomposition.
Result<EvalTensors> reference_evaluate(const Graph& graph, const EvalTensors& inputs,
                                       const WeightSource& weights,
                                       const EvaluateOptions& options = {});

// One node by its definition (or decomposition): the output tensors from the inputs, null where
// absent.
Result<std::vector<EvalTensor>> reference_evaluate_node(
    const OpDef& def, const Attrs& attrs, std::span<const TensorType* const> input_types,
    std::span<const EvalTensor* const> inputs);

// Weights in memory, by name: for tests.
class MemoryWeights : public WeightSource {
 public:
  void add(std::string name, DType dtype, const EvalTensor& tensor);
  Result<TensorType> type(std::string_view name) const override;
  Result<WeightData> load(std::string_view name) const override;

 private:
  struct Entry {
    TensorType type;
    std::vector<char> bytes;
  };
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace zoetrope
