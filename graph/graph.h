// The graph IR: SSA values and nodes in topological order. A graph is symbolic as the model file
// stores it and concrete after bind(); everything behind bind() may assume constants.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graph/attrs.h"
#include "graph/dim.h"
#include "graph/op.h"
#include "graph/shape.h"
#include "graph/status.h"

namespace zoetrope {

using ValueId = int32_t;
using NodeId = int32_t;
inline constexpr int32_t kNone = -1;  // an absent optional input, or no producer

// How often a value can change. Ordered: a node's rate is the largest of its inputs' rates.
enum class Rate : uint8_t {
  kWeights = 0,   // at conversion
  kShape = 1,     // once a plan (positions, rotary tables)
  kClip = 2,      // once a clip (text keys and values)
  kTimestep = 3,  // once a step of the schedule, shared by all guidance passes (adaLN modulations)
  kStep = 4,      // every call
};
inline constexpr int kRateCount = 5;
std::string_view rate_name(Rate rate);

enum class ValueKind : uint8_t { kInput, kWeight, kNode };

struct Value {
  std::string name;  // unique in the graph; weights: the tensor's name in the model file
  ValueKind kind = ValueKind::kNode;
  Rate rate = Rate::kStep;  // inputs: declared; the rest: computed by propagate_rates
  NodeId producer = kNone;
  int32_t producer_output = 0;
  std::vector<Dim> dims;  // inputs and weights only: the declared shape
  TensorType type;        // dtype always; shape only in a bound graph
};

// Of ops that take any number. Passes that join nodes keep to it.
inline constexpr size_t kMaxNodeInputs = 4096;

struct Node {
  OpKind op;
  std::string name;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  Attrs attrs;
};

struct GraphOutput {
  std::string name;
  ValueId value;
};

// After a call the runtime feeds output `next` back as input `state` of the next call; before the
// first call the state is zero.
struct StatePair {
  ValueId state;
  ValueId next;
};

struct Graph {
  std::string name;
  std::vector<Value> values;
  std::vector<Node> nodes;  // topological order
  std::vector<ValueId> inputs;
  std::vector<GraphOutput> outputs;
  std::vector<StatePair> states;
  bool bound = false;

  const Value& value(ValueId id) const { return values[static_cast<size_t>(id)]; }
  Value& value(ValueId id) { return values[static_cast<size_t>(id)]; }
  ValueId find_value(std::string_view name) const;  // kNone when absent
  std::vector<ValueId> weights() const;
  std::set<std::string> symbols() const;
};

// Structure (ids, order, single assignment, unique names, attribute types); for a bound graph also
// that every shape and dtype is what inference gives. Errors name the node.
Status verify(const Graph& graph);

// Evaluates every Dim and infers every shape. A symbol without a binding is an error;
// bindings that the graph does not use are ignored.
Result<Graph> bind(const Graph& graph, const Bindings& bindings);

// Sets every value's rate from the inputs' declared rates.
void propagate_rates(Graph* graph);

// Total cost of a bound graph.
Cost graph_cost(const Graph& graph);

// One line a node: `%h = matmul(%x, @blocks.0.fc1.weight) {transpose_b=true} : f32[1, 256, 1536]
// @step`
std::string to_text(const Graph& graph);
// Graphviz source; `dot -Tsvg` draws it. graph/svg.h writes SVG without Graphviz.
std::string to_dot(const Graph& graph);

// How values are used: consumers[v] lists the nodes that read v (a graph output counts as kNone).
std::vector<std::vector<NodeId>> consumers(const Graph& graph);

}  // namespace zoetrope
