// What is asked of a plan, and of a device about a node.
#include <algorithm>

#include "runtime/plan/plan.h"

namespace zoetrope {

const DerivedWeight* find_derived(const Plan& plan, std::string_view name) {
  const auto it = std::lower_bound(
      plan.derived.begin(), plan.derived.end(), name,
      [](const DerivedWeight& weight, std::string_view wanted) { return weight.name < wanted; });
  return it != plan.derived.end() && it->name == name ? &*it : nullptr;
}

bool is_allocated(const Plan& plan, const PlanWeight& weight, const DeviceInfo& device) {
  const bool derived = find_derived(plan, plan.graph.value(weight.value).name) != nullptr;
  return !weight.on_host && (!weight.layout.empty() || !device.host_memory || derived);
}

KernelRequest kernel_request(const Graph& graph, const Node& node) {
  KernelRequest request;
  request.node = &node;
  for (ValueId id : node.inputs) {
    request.inputs.push_back(id == kNone ? nullptr : &graph.value(id).type);
    request.is_weight.push_back(id != kNone && is_constant(graph, id));
  }
  for (ValueId id : node.outputs) request.outputs.push_back(&graph.value(id).type);
  return request;
}

KernelRequest kernel_request(const Plan& plan, const PlanCall& call) {
  const auto node_of = [&](const PlanCall& c) -> const Node& {
    return plan.graph.nodes[static_cast<size_t>(c.node)];
  };
  KernelRequest request = kernel_request(plan.graph, node_of(call));
  if (call.reader < 0) return request;
  const PlanCall& reader = plan.calls[static_cast<size_t>(call.reader)];
  request.output_as = {
      std::make_shared<const KernelRequest>(kernel_request(plan.graph, node_of(reader))),
      *reader.kernel.packed_input(static_cast<size_t>(call.reader_input))};
  return request;
}

std::string kernel_signature(const KernelRequest& request) {
  std::string key(op_def(request.node->op).name);
  for (const auto& [name, value] : request.node->attrs.items())
    key += "," + name + "=" + attr_to_string(value);
  for (size_t i = 0; i < request.inputs.size(); ++i)
    key += (request.is_weight[i] ? ";w" : ";") +
           (request.inputs[i] ? request.inputs[i]->to_string() : "-");
  key += "->";
  for (const TensorType* type : request.outputs) key += type->to_string();
  if (request.output_as.reader != nullptr) key += " as " + request.output_as.packed.layout;
  return key;
}

}  // namespace zoetrope
