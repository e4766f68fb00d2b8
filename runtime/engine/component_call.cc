// One component on given tensors, or only its plan.
#include <algorithm>
#include <set>

#include "runtime/engine/engine.h"

namespace zoetrope {
namespace {

// The graph with more outputs: the next values of states under the states' names, and what is to be
// dumped, by the name of a node (all its outputs) or of a value.
Result<Graph> with_outputs(Graph graph, const std::vector<std::string>& dump) {
  std::set<std::string> taken;
  for (const GraphOutput& out : graph.outputs) taken.insert(out.name);
  const auto add = [&](std::string name, ValueId id) -> Status {
    if (!taken.insert(name).second)
      return error(Code::kInvalidArgument, "component '", graph.name, "' has two outputs '", name,
                   "'");
    graph.outputs.push_back({std::move(name), id});
    return Status();
  };
  for (const StatePair& pair : graph.states)
    ZT_RETURN_IF_ERROR(add(graph.value(pair.state).name, pair.next));
  for (const std::string& wanted : dump) {
    if (const ValueId id = graph.find_value(wanted); id != kNone) {
      ZT_RETURN_IF_ERROR(add(wanted, id));
      continue;
    }
    const auto node = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                   [&](const Node& n) { return n.name == wanted; });
    if (node == graph.nodes.end())
      return error(Code::kInvalidArgument, "component '", graph.name, "' has no node '", wanted,
                   "'; `zoetrope inspect --graph ", graph.name, "` prints its nodes");
    for (size_t k = 0; k < node->outputs.size(); ++k)
      ZT_RETURN_IF_ERROR(
          add(node->outputs.size() == 1 ? wanted : str(wanted, ".", k), node->outputs[k]));
  }
  return graph;
}

Status check_inputs(const Graph& graph, const ComponentCall& call) {
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const Value* input = find_input(graph, call.inputs[i].name);
    if (input != nullptr && input->type.dtype != call.inputs[i].type.dtype)
      return error(Code::kInvalidArgument, "input '", input->name, "' is ",
                   dtype_name(call.inputs[i].type.dtype), "; expected ",
                   dtype_name(input->type.dtype));
  }
  for (ValueId id : graph.inputs) {
    const std::string& name = graph.value(id).name;
    const bool given = std::any_of(call.inputs.begin(), call.inputs.end(),
                                   [&](const NamedType& type) { return type.name == name; });
    if (!given && !is_state(graph, id))
      return error(Code::kInvalidArgument, "input '", name, "' of '", graph.name,
                   "' is missing: ", dtype_name(graph.value(id).type.dtype),
                   attr_to_string(graph.value(id).dims));
  }
  return Status();
}

Result<const Graph*> find_component(const Model& model, const std::string& name) {
  if (const Graph* graph = model.component(name)) return graph;
  std::string names;
  for (const auto& [known, graph] : model.components) names += (names.empty() ? "" : ", ") + known;
  return error(Code::kInvalidArgument, "no component '", name, "'; this model has ", names);
}

}  // namespace

Result<std::shared_ptr<const Plan>> Engine::plan_component(const std::string& component,
                                                           const CompileOptions& options) {
  ZT_ASSIGN_OR_RETURN(const Graph* graph, find_component(model_, component));
  ZT_ASSIGN_OR_RETURN(EngineDevice * device, devices_.open(options_.placement.device));
  return device->compile(*graph, options);
}

Result<std::vector<ComponentOutput>> Engine::run_component(const ComponentCall& call,
                                                           const RunHooks& hooks) {
  ZT_ASSIGN_OR_RETURN(const Graph* component, find_component(model_, call.component));
  ZT_RETURN_IF_ERROR(check_inputs(*component, call));
  CompileOptions options;
  options.compute = call.compute;
  options.fuse = call.fuse;
  auto bindings = infer_bindings(*component, call.inputs, call.set);
  if (!bindings.ok()) return Status(Code::kInvalidArgument, bindings.status().message());
  options.bindings = std::move(*bindings);
  ZT_ASSIGN_OR_RETURN(const Graph graph, with_outputs(*component, call.dump));

  Turns::Turn turn(turns_);
  if (!turn.wait(hooks.stop)) return error(Code::kCancelled, "asked to stop");
  ZT_ASSIGN_OR_RETURN(EngineDevice * device, devices_.open(options_.placement.device));
  ZT_ASSIGN_OR_RETURN(const auto plan, device->compile(graph, options));
  ZT_ASSIGN_OR_RETURN(
      const SessionLease lease,
      device->open(
          plan, call.weights, device->info().memory_bytes, [&](int64_t done, int64_t total) {
            return !hooks.stop.stop_requested() &&
                   (!hooks.progress ||
                    hooks.progress("load", static_cast<double>(done), static_cast<double>(total)));
          }));
  std::vector<ComponentOutput> outputs;
  ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
    session.reset_states();
    for (size_t i = 0; i < call.inputs.size(); ++i)
      ZT_RETURN_IF_ERROR(
          session.set_input(call.inputs[i].name, call.data[i], call.inputs[i].type.bytes()));
    ZT_RETURN_IF_ERROR(session.run());
    for (const GraphOutput& out : plan->graph.outputs) {
      const TensorType type = *session.output_type(out.name);
      outputs.push_back({out.name, type, std::vector<uint8_t>(static_cast<size_t>(type.bytes()))});
      ZT_RETURN_IF_ERROR(session.get_output(out.name, outputs.back().bytes.data(), type.bytes()));
    }
    return Status();
  }));
  return outputs;
}

}  // namespace zoetrope
