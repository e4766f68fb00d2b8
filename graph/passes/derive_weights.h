// Numbers from weights of fewer bits, where the device multiplies by numbers alone: made once, when
// weights are loaded, or before each call that reads them.
#pragma once

#include <functional>
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

// Whether the node is a dequantize of weights alone; whether the value is a weight or such a
// node's.
bool expands_weights(const Graph& graph, const Node& node);
bool is_constant(const Graph& graph, ValueId id);
// What such a node gives, as a weight.
DerivedWeight derived_weight(const Graph& graph, const Node& node);

// In bound graphs: every dequantize that reads weights alone becomes a weight itself, but for those
// that `stays` keeps as nodes (null: none), of which only computing nodes may read.
using StaysEncoded = std::function<bool(const DerivedWeight& weight)>;
Result<DerivedGraph> derive_weights(const Graph& graph, const StaysEncoded& stays = {});

// Nodes that expand weights stand right before what reads them, one for each reader, and at its
// rate: what they give lives for one call.
Result<Graph> expand_at_readers(const Graph& graph);

// In f32, rounded once to the weight's dtype, by as many threads as the machine has.
Result<WeightData> load_derived(const WeightSource& source, const DerivedWeight& weight);

}  // namespace zoetrope
