#include "graph/passes/rewrite.h"

#include "graph/passes/rebuild.h"

namespace zoetrope {

GraphView::GraphView(const Graph& graph)
    : graph_(graph), uses_(graph.values.size(), 0), first_readers_(graph.values.size(), kNone) {
  const auto count = [&](ValueId id) {
    if (id != kNone) ++uses_[static_cast<size_t>(id)];
  };
  for (const Node& node : graph.nodes)
    for (ValueId id : node.inputs) count(id);
  for (size_t n = graph.nodes.size(); n-- > 0;)
    for (ValueId id : graph.nodes[n].inputs)
      if (id != kNone) first_readers_[static_cast<size_t>(id)] = static_cast<NodeId>(n);
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

  Rebuild r(graph);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (gone[n]) continue;
    const Node& node = graph.nodes[n];
    const auto& replacement = replacements[n];
    if (!replacement) {
      r.copy(node, r.mapped(node.inputs));
      continue;
    }
    std::vector<ValueId> inputs = r.mapped(replacement->inputs);
    if (replacement->view_first) {
      const auto dims = replacement->view_first->dims();
      inputs[0] = r.builder().op(OpKind::kReshape, {inputs[0]},
                                 {{"dims", std::vector<Dim>(dims.begin(), dims.end())}},
                                 node.name + ".view");
    }
    const std::vector<ValueId> now =
        r.builder().add_node(replacement->op, std::move(inputs), replacement->attrs, node.name);
    ZT_RETURN_IF_ERROR(r.builder().status());
    const std::vector<ValueId>& old =
        replacement->outputs.empty() ? node.outputs : replacement->outputs;
    for (size_t k = 0; k < old.size(); ++k) {
      if (!(r.type(now[k]) == graph.value(old[k]).type))
        return error(Code::kInternal, "replacing '", node.name, "' changes the type of '",
                     graph.value(old[k]).name, "' from ", graph.value(old[k]).type.to_string(),
                     " to ", r.type(now[k]).to_string());
      r.set(old[k], now[k]);
    }
  }
  return r.finish();
}

}  // namespace zoetrope
