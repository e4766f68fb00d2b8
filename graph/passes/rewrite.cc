#include "graph/passes/rewrite.h"

#include "graph/builder.h"
#include "graph/passes/cleanup.h"

namespace zoetrope {

GraphView::GraphView(const Graph& graph) : graph_(graph), uses_(graph.values.size(), 0) {
  const auto count = [&](ValueId id) {
    if (id != kNone) ++uses_[static_cast<size_t>(id)];
  };
  for (const Node& node : graph.nodes)
    for (ValueId id : node.inputs) count(id);
  for (const GraphOutput& output : graph.outputs) count(output.value);
  for (const StatePair& pair : graph.states) count(pair.next);
}

const Node* GraphView::made_by(ValueId id, OpKind op) const {
  if (id == kNone || graph_.value(id).producer == kNone) return nullptr;
  const Node& node = graph_.nodes[static_cast<size_t>(graph_.value(id).producer)];
  return node.op == op ? &node : nullptr;
}

const Node* GraphView::absorbable(ValueId id, OpKind op) const {
  const Node* node = made_by(id, op);
  return node != nullptr && uses_[static_cast<size_t>(id)] == 1 ? node : nullptr;
}

ValueId GraphView::stored_weight(ValueId id) const {
  const Node* cast = made_by(id, OpKind::kCast);
  if (cast == nullptr) return id;
  const ValueId source = cast->inputs[0];
  return graph_.value(source).kind == ValueKind::kWeight && is_float(type(source).dtype) ? source
                                                                                         : id;
}

bool GraphView::is_constant(ValueId id, double value) const {
  if (const Node* cast = made_by(id, OpKind::kCast)) id = cast->inputs[0];
  const Node* fill = made_by(id, OpKind::kFill);
  return fill != nullptr && fill->attrs.get_float("value") == value;
}

Result<Graph> rewrite(const Graph& graph, const Matcher& matcher) {
  ZT_CHECK(graph.bound);
  const GraphView view(graph);
  std::vector<std::optional<Replacement>> replacements(graph.nodes.size());
  std::vector<bool> gone(graph.nodes.size(), false);
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    if (gone[n]) continue;
    auto replacement = matcher(view, graph.nodes[n]);
    if (!replacement) continue;
    bool free = true;
    for (const Node* node : replacement->absorbed)
      free = free && !gone[static_cast<size_t>(view.index(node))] &&
             !replacements[static_cast<size_t>(view.index(node))];
    if (!free) continue;
    for (const Node* node : replacement->absorbed)
      gone[static_cast<size_t>(view.index(node))] = true;
    replacements[n] = std::move(replacement);
  }

  Graph out;
  out.name = graph.name;
  out.bound = true;
  std::vector<ValueId> map(graph.values.size(), kNone);
  for (size_t i = 0; i < graph.values.size(); ++i) {
    if (graph.values[i].kind == ValueKind::kNode) continue;
    map[i] = static_cast<ValueId>(out.values.size());
    out.values.push_back(graph.values[i]);
  }
  const auto mapped = [&](ValueId id) {
    return id == kNone ? kNone : map[static_cast<size_t>(id)];
  };
  for (ValueId id : graph.inputs) out.inputs.push_back(mapped(id));
  Builder builder(&out);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (gone[n]) continue;
    const Node& node = graph.nodes[n];
    const auto& replacement = replacements[n];
    std::vector<ValueId> inputs;
    for (ValueId id : replacement ? replacement->inputs : node.inputs) inputs.push_back(mapped(id));
    if (replacement && replacement->view_first) {
      const auto dims = replacement->view_first->dims();
      inputs[0] =
          builder.op(OpKind::kReshape, {inputs[0]},
                     {{"dims", std::vector<Dim>(dims.begin(), dims.end())}}, node.name + ".view");
    }
    const std::vector<ValueId> outputs =
        builder.add_node(replacement ? replacement->op : node.op, std::move(inputs),
                         replacement ? replacement->attrs : node.attrs, node.name);
    ZT_RETURN_IF_ERROR(builder.status());
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      if (!(out.value(outputs[k]).type == graph.value(node.outputs[k]).type))
        return error(Code::kInternal, "replacing '", node.name, "' changes its type from ",
                     graph.value(node.outputs[k]).type.to_string(), " to ",
                     out.value(outputs[k]).type.to_string());
      map[static_cast<size_t>(node.outputs[k])] = outputs[k];
    }
  }
  for (const GraphOutput& output : graph.outputs)
    out.outputs.push_back({output.name, mapped(output.value)});
  for (const StatePair& pair : graph.states)
    out.states.push_back({mapped(pair.state), mapped(pair.next)});
  propagate_rates(&out);
  return eliminate_dead(out);
}

}  // namespace zoetrope
