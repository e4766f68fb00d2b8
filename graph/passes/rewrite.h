// Replaces small subgraphs by single nodes: the machinery under the fusions.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace zoetrope {

// A graph with its uses counted, as matchers see it.
class GraphView {
 public:
  explicit GraphView(const Graph& graph);

  const Graph& graph() const { return graph_; }
  const TensorType& type(ValueId id) const { return graph_.value(id).type; }
  // The node of kind `op` that makes `id`, or null.
  const Node* made_by(ValueId id, OpKind op) const;
  // As made_by, and nothing else reads `id`: the node may be absorbed.
  const Node* absorbable(ValueId id, OpKind op) const;
  // Looks through a cast of a weight: fused ops read weights as they are stored.
  ValueId stored_weight(ValueId id) const;
  // Whether `node` reads `id` before any other node does.
  bool is_first_reader(const Node& node, ValueId id) const {
    return first_readers_[static_cast<size_t>(id)] == index(&node);
  }
  // Whether a node before `node` reads `id`.
  bool is_read_before(const Node& node, ValueId id) const {
    const NodeId first = first_readers_[static_cast<size_t>(id)];
    return first != kNone && first < index(&node);
  }
  // Whether `id` is `value` everywhere (a fill).
  bool is_constant(ValueId id, double value) const;
  NodeId index(const Node* node) const { return static_cast<NodeId>(node - graph_.nodes.data()); }

 private:
  const Graph& graph_;
  std::vector<int> uses_;
  std::vector<NodeId> first_readers_;  // by value; kNone: no node reads it
};

// What replaces a root node; its inputs are values of the old graph.
struct Replacement {
  OpKind op;
  std::vector<ValueId> inputs;
  Attrs attrs;
  std::vector<const Node*> absorbed;  // nodes that vanish with the root
  std::optional<Shape> view_first{};  // input 0 is first seen under this shape
  // What the new node's outputs replace; empty: the root's output. An absorbed node's output may be
  // among them if nothing reads it before the root.
  std::vector<ValueId> outputs{};
};

using Matcher = std::function<std::optional<Replacement>(const GraphView& view, const Node& root)>;

// Tries every node as a root, last first; a node is absorbed at most once. Nodes that nothing needs
// any more are removed.
Result<Graph> rewrite(const Graph& graph, const Matcher& matcher);

}  // namespace zoetrope
