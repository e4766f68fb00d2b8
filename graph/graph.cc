#include "graph/graph.h"

#include <algorithm>
#include <unordered_set>

namespace zoetrope {
namespace {

constexpr size_t kMaxNodes = 1 << 20;

Status node_error(const Node& node, const Status& status) {
  return status.with_context(str("node '", node.name, "' (", op_def(node.op).name, ")"));
}

Status check_use(const Graph& graph, const Node& node, ValueId id,
                 const std::vector<bool>& defined) {
  if (id < 0 || static_cast<size_t>(id) >= graph.values.size())
    return error(Code::kInvalidArgument, "reads value ", id, " of ", graph.values.size());
  if (!defined[static_cast<size_t>(id)])
    return error(Code::kInvalidArgument, "reads '", graph.value(id).name,
                 "' before it is computed");
  (void)node;
  return Status();
}

// Pointers to the types of a node's inputs, null where absent.
std::vector<const TensorType*> input_types(const Graph& graph, const Node& node) {
  std::vector<const TensorType*> types;
  types.reserve(node.inputs.size());
  for (ValueId id : node.inputs) types.push_back(id == kNone ? nullptr : &graph.value(id).type);
  return types;
}

Result<std::vector<TensorType>> infer_node(const Graph& graph, const Node& node) {
  const std::vector<const TensorType*> inputs = input_types(graph, node);
  auto types = op_def(node.op).infer(OpContext{inputs, node.attrs});
  if (!types.ok()) return node_error(node, types.status());
  if (types->size() != node.outputs.size())
    return node_error(node, error(Code::kInvalidArgument, "has ", node.outputs.size(),
                                  " outputs; the op gives ", types->size()));
  return types;
}

Status verify_node(const Graph& graph, const Node& node, const std::vector<bool>& defined) {
  const OpDef& def = op_def(node.op);
  const auto count = static_cast<int64_t>(node.inputs.size());
  if (node.inputs.size() > kMaxNodeInputs)
    return error(Code::kInvalidArgument, "has ", count, " inputs; expected at most ",
                 kMaxNodeInputs);
  if (count < def.min_inputs || (def.max_inputs >= 0 && count > def.max_inputs))
    return error(Code::kInvalidArgument, "has ", count, " inputs; expected ", def.min_inputs,
                 def.max_inputs < 0 ? " or more" : str(" to ", def.max_inputs));
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == kNone) {
      if (static_cast<int64_t>(i) < def.min_inputs || def.max_inputs < 0)
        return error(Code::kInvalidArgument, "input ", i, " is required");
      continue;
    }
    ZT_RETURN_IF_ERROR(check_use(graph, node, node.inputs[i], defined));
  }
  Attrs attrs = node.attrs;
  return verify_attrs(def, &attrs);
}

Status evaluate_attrs(const Bindings& bindings, Attrs* attrs) {
  Attrs bound;
  for (const auto& [name, value] : attrs->items()) {
    if (const auto* dim = std::get_if<Dim>(&value)) {
      ZT_ASSIGN_OR_RETURN(const int64_t constant, dim->evaluate(bindings));
      bound.set(name, Dim(constant));
    } else if (const auto* dims = std::get_if<std::vector<Dim>>(&value)) {
      std::vector<Dim> constants;
      for (const Dim& d : *dims) {
        ZT_ASSIGN_OR_RETURN(const int64_t constant, d.evaluate(bindings));
        constants.emplace_back(constant);
      }
      bound.set(name, std::move(constants));
    } else {
      bound.set(name, value);
    }
  }
  *attrs = std::move(bound);
  return Status();
}

}  // namespace

std::string_view rate_name(Rate rate) {
  constexpr std::string_view kNames[] = {"weights", "shape", "clip", "timestep", "step"};
  return kNames[static_cast<size_t>(rate)];
}

ValueId Graph::find_value(std::string_view wanted) const {
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i].name == wanted) return static_cast<ValueId>(i);
  return kNone;
}

std::vector<ValueId> Graph::weights() const {
  std::vector<ValueId> ids;
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i].kind == ValueKind::kWeight) ids.push_back(static_cast<ValueId>(i));
  return ids;
}

std::set<std::string> Graph::symbols() const {
  std::set<std::string> names;
  for (const Value& v : values)
    for (const Dim& dim : v.dims) dim.collect_symbols(&names);
  for (const Node& node : nodes) {
    for (const auto& [name, attr] : node.attrs.items()) {
      if (const auto* dim = std::get_if<Dim>(&attr)) dim->collect_symbols(&names);
      if (const auto* dims = std::get_if<std::vector<Dim>>(&attr))
        for (const Dim& d : *dims) d.collect_symbols(&names);
    }
  }
  return names;
}

Status verify(const Graph& graph) {
  if (graph.nodes.size() > kMaxNodes)
    return error(Code::kInvalidArgument, "graph '", graph.name, "' has more than ", kMaxNodes,
                 " nodes");
  std::vector<bool> defined(graph.values.size(), false);
  std::unordered_set<std::string_view> names;
  std::vector<bool> is_input(graph.values.size(), false);
  for (ValueId id : graph.inputs) {
    if (id < 0 || static_cast<size_t>(id) >= graph.values.size() ||
        graph.value(id).kind != ValueKind::kInput || is_input[static_cast<size_t>(id)])
      return error(Code::kInvalidArgument, "graph '", graph.name, "': input list entry ", id,
                   " is not a distinct input value");
    is_input[static_cast<size_t>(id)] = true;
  }
  for (size_t i = 0; i < graph.values.size(); ++i) {
    const Value& v = graph.values[i];
    if (v.name.empty() || !names.insert(v.name).second)
      return error(Code::kInvalidArgument, "graph '", graph.name, "': value name '", v.name,
                   "' is empty or used twice");
    if (v.dims.size() > kMaxRank)
      return error(Code::kInvalidArgument, "value '", v.name, "' has ", v.dims.size(),
                   " dimensions; at most ", kMaxRank);
    if (v.kind == ValueKind::kInput && !is_input[i])
      return error(Code::kInvalidArgument, "input '", v.name, "' is not in the input list");
    if (v.kind == ValueKind::kWeight)
      for (const Dim& dim : v.dims)
        if (!dim.is_constant())
          return error(Code::kInvalidArgument, "weight '", v.name, "' has a symbolic dimension");
    defined[i] = v.kind != ValueKind::kNode;
  }
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (Status status = verify_node(graph, node, defined); !status.ok())
      return node_error(node, status);
    if (node.outputs.empty()) return node_error(node, error(Code::kInvalidArgument, "no outputs"));
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const ValueId id = node.outputs[k];
      if (id < 0 || static_cast<size_t>(id) >= graph.values.size() ||
          defined[static_cast<size_t>(id)] || graph.value(id).kind != ValueKind::kNode ||
          graph.value(id).producer != static_cast<NodeId>(n) ||
          graph.value(id).producer_output != static_cast<int32_t>(k))
        return node_error(node, error(Code::kInvalidArgument, "output ", k,
                                      " is not a fresh value of this node"));
      defined[static_cast<size_t>(id)] = true;
    }
    if (graph.bound) {
      ZT_ASSIGN_OR_RETURN(const auto types, infer_node(graph, node));
      for (size_t k = 0; k < types.size(); ++k)
        if (!(types[k] == graph.value(node.outputs[k]).type))
          return node_error(node, error(Code::kInternal, "output ", k, " is recorded as ",
                                        graph.value(node.outputs[k]).type.to_string(),
                                        " but inference gives ", types[k].to_string()));
    }
  }
  for (size_t i = 0; i < defined.size(); ++i)
    if (!defined[i])
      return error(Code::kInvalidArgument, "value '", graph.values[i].name, "' is never computed");
  names.clear();
  for (const GraphOutput& out : graph.outputs)
    if (out.value < 0 || static_cast<size_t>(out.value) >= graph.values.size() ||
        out.name.empty() || !names.insert(out.name).second)
      return error(Code::kInvalidArgument, "graph '", graph.name, "': bad output '", out.name, "'");
  std::vector<bool> is_state(graph.values.size(), false);
  for (const StatePair& pair : graph.states) {
    const auto count = static_cast<ValueId>(graph.values.size());
    if (pair.state < 0 || pair.state >= count || pair.next < 0 || pair.next >= count ||
        graph.value(pair.state).kind != ValueKind::kInput)
      return error(Code::kInvalidArgument, "graph '", graph.name, "': bad state pair");
    if (is_state[static_cast<size_t>(pair.state)])
      return error(Code::kInvalidArgument, "state '", graph.value(pair.state).name,
                   "' has two successors");
    is_state[static_cast<size_t>(pair.state)] = true;
    if (graph.bound && !(graph.value(pair.state).type == graph.value(pair.next).type))
      return error(Code::kInvalidArgument, "state '", graph.value(pair.state).name, "' is ",
                   graph.value(pair.state).type.to_string(), " but its successor is ",
                   graph.value(pair.next).type.to_string());
  }
  return Status();
}

Result<Graph> bind(const Graph& graph, const Bindings& bindings) {
  Graph out = graph;
  for (Value& v : out.values) {
    if (v.kind == ValueKind::kNode) continue;
    Shape shape;
    for (Dim& dim : v.dims) {
      auto value = dim.evaluate(bindings);
      if (!value.ok()) return value.status().with_context(str("value '", v.name, "'"));
      if (*value < 0)
        return error(Code::kInvalidArgument, "dimension ", dim.to_string(), " of '", v.name,
                     "' is ", *value, "; expected 0 or more");
      shape.push_back(*value);
      dim = *value;
    }
    if (auto n = checked_elements(shape.dims()); !n.ok())
      return n.status().with_context(str("value '", v.name, "'"));
    v.type.shape = shape;
  }
  for (Node& node : out.nodes) {
    if (Status status = evaluate_attrs(bindings, &node.attrs); !status.ok())
      return node_error(node, status);
    if (Status status = verify_attrs(op_def(node.op), &node.attrs); !status.ok())
      return node_error(node, status);
    ZT_ASSIGN_OR_RETURN(auto types, infer_node(out, node));
    for (size_t k = 0; k < types.size(); ++k) out.value(node.outputs[k]).type = types[k];
  }
  out.bound = true;
  for (const StatePair& pair : out.states)
    if (!(out.value(pair.state).type == out.value(pair.next).type))
      return error(Code::kInvalidArgument, "state '", out.value(pair.state).name, "' is ",
                   out.value(pair.state).type.to_string(), " but its successor is ",
                   out.value(pair.next).type.to_string());
  return out;
}

void propagate_rates(Graph* graph) {
  for (Value& v : graph->values)
    if (v.kind == ValueKind::kWeight) v.rate = Rate::kWeights;
  for (const Node& node : graph->nodes) {
    // A node without inputs depends on shapes alone.
    Rate rate = node.inputs.empty() ? Rate::kShape : Rate::kWeights;
    for (ValueId id : node.inputs)
      if (id != kNone) rate = std::max(rate, graph->value(id).rate);
    for (ValueId id : node.outputs) graph->value(id).rate = rate;
  }
}

Cost graph_cost(const Graph& graph) {
  Cost total;
  for (const Node& node : graph.nodes) {
    const std::vector<const TensorType*> inputs = input_types(graph, node);
    std::vector<TensorType> outputs;
    for (ValueId id : node.outputs) outputs.push_back(graph.value(id).type);
    const Cost cost = node_cost(op_def(node.op), OpContext{inputs, node.attrs}, outputs);
    total.flops += cost.flops;
    total.bytes += cost.bytes;
  }
  return total;
}

std::vector<std::vector<NodeId>> consumers(const Graph& graph) {
  std::vector<std::vector<NodeId>> uses(graph.values.size());
  for (size_t n = 0; n < graph.nodes.size(); ++n)
    for (ValueId id : graph.nodes[n].inputs)
      if (id != kNone) uses[static_cast<size_t>(id)].push_back(static_cast<NodeId>(n));
  for (const GraphOutput& out : graph.outputs)
    uses[static_cast<size_t>(out.value)].push_back(kNone);
  for (const StatePair& pair : graph.states) uses[static_cast<size_t>(pair.next)].push_back(kNone);
  return uses;
}

}  // namespace zoetrope
