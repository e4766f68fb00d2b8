#include "graph/passes/cleanup.h"

#include <unordered_map>

namespace zoetrope {
namespace {

std::string node_key(const Node& node) {
  std::string key(op_def(node.op).name);
  for (ValueId id : node.inputs) key += str(",", id);
  for (const auto& [name, value] : node.attrs.items())
    key += ";" + name + "=" + attr_to_string(value);
  return key;
}

}  // namespace

Result<Graph> eliminate_common(const Graph& graph) {
  Graph out = graph;
  std::vector<ValueId> map(graph.values.size());
  for (size_t i = 0; i < map.size(); ++i) map[i] = static_cast<ValueId>(i);
  std::unordered_map<std::string, size_t> seen;  // key → node
  for (Node& node : out.nodes) {
    for (ValueId& id : node.inputs)
      if (id != kNone) id = map[static_cast<size_t>(id)];
    const auto index = static_cast<size_t>(&node - out.nodes.data());
    const auto [it, fresh] = seen.emplace(node_key(node), index);
    if (fresh) continue;
    const Node& first = out.nodes[it->second];
    for (size_t k = 0; k < node.outputs.size(); ++k)
      map[static_cast<size_t>(node.outputs[k])] = first.outputs[k];
  }
  for (GraphOutput& output : out.outputs) output.value = map[static_cast<size_t>(output.value)];
  for (StatePair& pair : out.states) pair.next = map[static_cast<size_t>(pair.next)];
  return eliminate_dead(out);
}

Result<Graph> eliminate_dead(const Graph& graph) {
  std::vector<bool> live(graph.values.size(), false);
  const auto mark = [&](ValueId id) {
    if (id != kNone) live[static_cast<size_t>(id)] = true;
  };
  for (ValueId id : graph.inputs) mark(id);
  for (const GraphOutput& output : graph.outputs) mark(output.value);
  for (const StatePair& pair : graph.states) mark(pair.next);
  std::vector<bool> needed(graph.nodes.size(), false);
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    for (ValueId id : node.outputs) needed[n] = needed[n] || live[static_cast<size_t>(id)];
    if (!needed[n]) continue;
    for (ValueId id : node.outputs) mark(id);
    for (ValueId id : node.inputs) mark(id);
  }
  Graph out;
  out.name = graph.name;
  out.bound = graph.bound;
  std::vector<ValueId> map(graph.values.size(), kNone);
  for (size_t i = 0; i < graph.values.size(); ++i) {
    if (!live[i]) continue;
    map[i] = static_cast<ValueId>(out.values.size());
    out.values.push_back(graph.values[i]);
  }
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!needed[n]) continue;
    Node node = graph.nodes[n];
    for (ValueId& id : node.inputs)
      if (id != kNone) id = map[static_cast<size_t>(id)];
    for (ValueId& id : node.outputs) {
      id = map[static_cast<size_t>(id)];
      out.value(id).producer = static_cast<NodeId>(out.nodes.size());
    }
    out.nodes.push_back(std::move(node));
  }
  for (ValueId id : graph.inputs) out.inputs.push_back(map[static_cast<size_t>(id)]);
  for (const GraphOutput& output : graph.outputs)
    out.outputs.push_back({output.name, map[static_cast<size_t>(output.value)]});
  for (const StatePair& pair : graph.states)
    out.states.push_back(
        {map[static_cast<size_t>(pair.state)], map[static_cast<size_t>(pair.next)]});
  return out;
}

}  // namespace zoetrope
