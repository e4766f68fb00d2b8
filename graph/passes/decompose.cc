#include "graph/passes/decompose.h"

#include "graph/passes/rebuild.h"

namespace zoetrope {

Result<Graph> decompose_fused(const Graph& graph, const std::function<bool(const Node&)>& should) {
  Rebuild r(graph);
  for (const Node& node : graph.nodes) {
    const OpDef& def = op_def(node.op);
    const std::vector<ValueId> inputs = r.mapped(node.inputs);
    if (!def.is_fused() || !should(node)) {
      r.copy(node, inputs);
      continue;
    }
    const auto scope = r.builder().scope(node.name);
    const std::vector<ValueId> outputs = def.decompose(r.builder(), inputs, node.attrs);
    ZT_RETURN_IF_ERROR(r.builder().status());
    if (outputs.size() != node.outputs.size())
      return error(Code::kInternal, "decomposition of '", node.name, "' gives ", outputs.size(),
                   " values instead of ", node.outputs.size());
    for (size_t k = 0; k < outputs.size(); ++k) r.set(node.outputs[k], outputs[k]);
  }
  return r.finish();
}

}  // namespace zoetrope
