// Weights that are made when they are loaded: numbers from tensors of fewer bits, where the device
// multiplies by numbers alone.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/weights.h"

namespace zoetrope {

// A weight of a plan that no file has; its name begins with that of `values`.
struct DerivedWeight {
  std::string name;
  TensorType type;
  Attrs attrs;                        // of dequantize
  std::string values, scale, offset;  // tensors; the last may be empty
};

struct DerivedGraph {
  Graph graph;
  std::vector<DerivedWeight> weights;
};

// In bound graphs: every dequantize that reads weights alone becomes a weight itself.
Result<DerivedGraph> derive_weights(const Graph& graph);

// In f32, rounded once to the weight's dtype, by as many threads as the machine has.
Result<WeightData> load_derived(const WeightSource& source, const DerivedWeight& weight);

}  // namespace zoetrope
