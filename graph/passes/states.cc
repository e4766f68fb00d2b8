#include "graph/passes/states.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "graph/passes/rebuild.h"

namespace zoetrope {
namespace {

// Orders of nodes are those of calls: states are read at every step, and nodes of one rate are
// called in the order of the graph.
class Settling {
 public:
  explicit Settling(const Graph& graph) : graph_(graph), root_(graph.values.size()) {
    std::iota(root_.begin(), root_.end(), 0);
    for (const Node& node : graph.nodes)
      if (op_def(node.op).is_view)
        root_[static_cast<size_t>(node.outputs[0])] = root(node.inputs[0]);
  }

  struct Found {
    std::vector<StatePair> in_place;
    std::multimap<NodeId, StatePair> copies;  // by the node behind which that is done
  };
  Found find() const {
    Found found;
    std::set<ValueId> taken, kept;  // places that a state takes over; that outlive the run
    for (const GraphOutput& out : graph_.outputs) kept.insert(root(out.value));
    for (const StatePair& pair : graph_.states) kept.insert(root(pair.next));
    for (const StatePair& pair : graph_.states) {
      const Value& next = graph_.value(pair.next);
      const Value& made = graph_.value(root(pair.next));
      if (kept.contains(root(pair.state)) || made.kind != ValueKind::kNode ||
          made.rate != Rate::kStep)
        continue;
      const NodeId read = last_reader(root(pair.state));
      if (read < made.producer && taken.insert(root(pair.next)).second)
        found.in_place.push_back(pair);
      else if (next.type.shape.rank() > 0 && next.producer != kNone)
        found.copies.emplace(std::max(read, next.producer), pair);
    }
    return found;
  }

 private:
  ValueId root(ValueId id) const { return root_[static_cast<size_t>(id)]; }

  NodeId last_reader(ValueId state) const {
    for (size_t n = graph_.nodes.size(); n-- > 0;) {
      const Node& node = graph_.nodes[n];
      if (op_def(node.op).is_view) continue;
      for (const ValueId id : node.inputs)
        if (id != kNone && root(id) == state) return static_cast<NodeId>(n);
    }
    return -1;
  }

  const Graph& graph_;
  std::vector<ValueId> root_;  // by value: the value whose bytes it is
};

}  // namespace

std::vector<StatePair> states_in_place(const Graph& graph) {
  return Settling(graph).find().in_place;
}

Result<Graph> settle_states(const Graph& graph) {
  const auto copies = Settling(graph).find().copies;
  if (copies.empty()) return graph;
  Rebuild rebuild(graph);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    rebuild.copy(graph.nodes[n], rebuild.mapped(graph.nodes[n].inputs));
    const auto [begin, end] = copies.equal_range(static_cast<NodeId>(n));
    for (auto it = begin; it != end; ++it) {
      const StatePair& pair = it->second;
      rebuild.set_next(pair.state, rebuild.builder().slice(rebuild.mapped(pair.next), 0, 0,
                                                           graph.value(pair.next).type.shape[0]));
    }
  }
  return rebuild.finish();
}

}  // namespace zoetrope
