#include "graph/passes/decompose.h"

#include "graph/builder.h"

namespace zoetrope {

Result<Graph> decompose_fused(const Graph& graph, const std::function<bool(const Node&)>& should) {
  Graph out;
  out.name = graph.name;
  out.bound = graph.bound;
  std::vector<ValueId> map(graph.values.size(), kNone);  // old id → new id
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
  for (const Node& node : graph.nodes) {
    std::vector<ValueId> inputs;
    for (ValueId id : node.inputs) inputs.push_back(mapped(id));
    const OpDef& def = op_def(node.op);
    std::vector<ValueId> outputs;
    if (def.is_fused() && should(node)) {
      const auto scope = builder.scope(node.name);
      outputs = def.decompose(builder, inputs, node.attrs);
    } else {
      outputs = builder.add_node(node.op, std::move(inputs), node.attrs, node.name);
    }
    ZT_RETURN_IF_ERROR(builder.status());
    if (outputs.size() != node.outputs.size())
      return error(Code::kInternal, "decomposition of '", node.name, "' gives ", outputs.size(),
                   " values instead of ", node.outputs.size());
    for (size_t k = 0; k < outputs.size(); ++k)
      map[static_cast<size_t>(node.outputs[k])] = outputs[k];
  }
  for (const GraphOutput& output : graph.outputs)
    out.outputs.push_back({output.name, mapped(output.value)});
  for (const StatePair& pair : graph.states)
    out.states.push_back({mapped(pair.state), mapped(pair.next)});
  propagate_rates(&out);
  return out;
}

}  // namespace zoetrope
