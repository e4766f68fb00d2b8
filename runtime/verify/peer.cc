#include "runtime/verify/peer.h"

#include "graph/builder.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/session.h"

namespace zoetrope {
namespace {

// The call's own inputs as weights, under the names that the one-node graph gives them.
class CallWeights : public WeightSource {
 public:
  explicit CallWeights(const CallBytes& call) : call_(call) {}
  Result<TensorType> type(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const WeightData data, load(name));
    return data.type;
  }
  Result<WeightData> load(std::string_view name) const override {
    for (size_t i = 0; i < call_.inputs.size(); ++i)
      if (name == str(i)) return WeightData{*call_.input_types[i], call_.inputs[i], nullptr};
    return error(Code::kNotFound, "no input ", name);
  }

 private:
  const CallBytes& call_;
};

Result<Graph> graph_of(const CallBytes& call, const std::vector<bool>& is_weight) {
  Graph graph;
  graph.name = "node";
  graph.bound = true;
  Builder builder(&graph);
  std::vector<ValueId> ids;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    if (call.input_types[i] == nullptr) {
      ids.push_back(kNone);
      continue;
    }
    const TensorType& type = *call.input_types[i];
    const std::vector<int64_t> dims(type.shape.begin(), type.shape.end());
    ids.push_back(is_weight[i] ? builder.weight(str(i), dims, type.dtype)
                               : builder.input(str(i), type.dtype,
                                               std::vector<Dim>(dims.begin(), dims.end())));
    graph.value(ids.back()).type = type;
  }
  const auto outputs = builder.add_node(call.node->op, ids, call.node->attrs);
  for (size_t k = 0; k < outputs.size(); ++k) builder.output(str(k), outputs[k]);
  ZT_RETURN_IF_ERROR(builder.status());
  ZT_RETURN_IF_ERROR(verify(graph));
  return graph;
}

}  // namespace

Result<std::vector<std::vector<uint8_t>>> run_node_on(Device& device, const CallBytes& call,
                                                      const std::vector<bool>& is_weight) {
  ZT_ASSIGN_OR_RETURN(Graph graph, graph_of(call, is_weight));
  ZT_ASSIGN_OR_RETURN(Plan plan, make_plan(std::move(graph), device, {}));
  const CallWeights weights(call);
  WeightStore store(device, weights);
  ZT_ASSIGN_OR_RETURN(const auto session, Session::create(std::move(plan), store));
  for (size_t i = 0; i < call.inputs.size(); ++i)
    if (call.input_types[i] != nullptr && !is_weight[i])
      ZT_RETURN_IF_ERROR(session->set_input(str(i), call.inputs[i], call.input_types[i]->bytes()));
  ZT_RETURN_IF_ERROR(session->run());
  std::vector<std::vector<uint8_t>> outputs;
  for (size_t k = 0; k < call.output_types.size(); ++k) {
    const int64_t bytes = call.output_types[k].bytes();
    outputs.emplace_back(static_cast<size_t>(bytes));
    ZT_RETURN_IF_ERROR(session->get_output(str(k), outputs.back().data(), bytes));
  }
  return outputs;
}

}  // namespace zoetrope
