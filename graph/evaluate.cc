#include "graph/evaluate.h"

#include <algorithm>
#include <optional>

#include "graph/builder.h"
#include "graph/elements.h"

namespace zoetrope {
namespace {

void round_elements(DType dtype, std::vector<double>* data) {
  for (double& v : *data) {
    int64_t bits = 0;
    store_element(dtype, &bits, 0, v);
    v = load_element(dtype, &bits, 0);
  }
}

std::vector<EvalTensor> run_definition(const OpDef& def, const OpContext& context,
                                       std::span<const EvalTensor* const> inputs,
                                       std::span<const TensorType> types) {
  std::vector<RefTensor> tensors(inputs.size());
  std::vector<const RefTensor*> pointers(inputs.size(), nullptr);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr) continue;
    tensors[i] = {inputs[i]->shape, inputs[i]->data};
    pointers[i] = &tensors[i];
  }
  std::vector<std::vector<double>> data;
  for (const TensorType& type : types)
    data.emplace_back(static_cast<size_t>(type.shape.elements()));
  // An empty output needs no work, however long its other dimensions are.
  const bool empty = std::all_of(data.begin(), data.end(), [](const auto& d) { return d.empty(); });
  if (!empty) def.reference(context, pointers, types, data);
  std::vector<EvalTensor> outputs;
  for (size_t k = 0; k < types.size(); ++k) outputs.push_back({types[k].shape, std::move(data[k])});
  return outputs;
}

// The decomposition of one fused node as a graph of its own, with inputs "0", "1", ...
Result<Graph> decomposed_node(const OpDef& def, const Attrs& attrs,
                              std::span<const TensorType* const> types) {
  Graph graph;
  graph.name = std::string(def.name);
  graph.bound = true;
  Builder builder(&graph);
  std::vector<ValueId> ids;
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] == nullptr) {
      ids.push_back(kNone);
      continue;
    }
    const Shape& shape = types[i]->shape;
    const ValueId id =
        builder.input(str(i), types[i]->dtype, std::vector<Dim>(shape.begin(), shape.end()));
    graph.value(id).type = *types[i];
    ids.push_back(id);
  }
  const std::vector<ValueId> outputs = def.decompose(builder, ids, attrs);
  for (size_t k = 0; k < outputs.size(); ++k) builder.output(str(k), outputs[k]);
  ZT_RETURN_IF_ERROR(builder.status());
  ZT_RETURN_IF_ERROR(verify(graph));
  return graph;
}

class Evaluator {
 public:
  Evaluator(const Graph& graph, const WeightSource& weights, const EvaluateOptions& options)
      : graph_(graph), weights_(weights), options_(options), values_(graph.values.size()) {}

  Result<EvalTensors> run(const EvalTensors& inputs) {
    if (!graph_.bound)
      return error(Code::kInvalidArgument, "graph '", graph_.name, "' is not bound to shapes");
    count_uses();
    for (ValueId id : graph_.inputs) ZT_RETURN_IF_ERROR(set_input(id, inputs));
    for (const Node& node : graph_.nodes)
      if (Status status = run_node(node); !status.ok())
        return status.with_context(str("node '", node.name, "' (", op_def(node.op).name, ")"));
    EvalTensors results;
    for (const GraphOutput& out : graph_.outputs) {
      ZT_ASSIGN_OR_RETURN(const EvalTensor* value, get(out.value));
      results[out.name] = *value;
    }
    for (const std::string& name : options_.watch) {
      const ValueId id = graph_.find_value(name);
      if (id == kNone) return error(Code::kNotFound, "no value named '", name, "' to watch");
      ZT_ASSIGN_OR_RETURN(const EvalTensor* value, get(id));
      results[name] = *value;
    }
    return results;
  }

 private:
  std::optional<EvalTensor>& slot(ValueId id) { return values_[static_cast<size_t>(id)]; }

  void count_uses() {
    uses_.assign(graph_.values.size(), 0);
    for (const Node& node : graph_.nodes)
      for (ValueId id : node.inputs)
        if (id != kNone) ++uses_[static_cast<size_t>(id)];
    for (const GraphOutput& out : graph_.outputs) ++uses_[static_cast<size_t>(out.value)];
    for (const std::string& name : options_.watch)
      if (const ValueId id = graph_.find_value(name); id != kNone) ++uses_[static_cast<size_t>(id)];
  }

  Status set_input(ValueId id, const EvalTensors& inputs) {
    const Value& value = graph_.value(id);
    const auto it = inputs.find(value.name);
    if (it == inputs.end()) return error(Code::kNotFound, "input '", value.name, "' is missing");
    if (!(it->second.shape == value.type.shape) ||
        static_cast<int64_t>(it->second.data.size()) != value.type.shape.elements())
      return error(Code::kInvalidArgument, "input '", value.name, "' must be ",
                   value.type.to_string(), "; found shape ", it->second.shape.to_string(), " with ",
                   it->second.data.size(), " elements");
    slot(id) = it->second;
    if (options_.round_to_dtype) round_elements(value.type.dtype, &slot(id)->data);
    return Status();
  }

  // Weights are widened when first read.
  Result<const EvalTensor*> get(ValueId id) {
    if (slot(id).has_value()) return &*slot(id);
    const Value& value = graph_.value(id);
    ZT_CHECK(value.kind == ValueKind::kWeight);
    ZT_ASSIGN_OR_RETURN(const WeightData data, weights_.load(value.name));
    if (!(data.type.shape == value.type.shape))
      return error(Code::kInvalidArgument, "weight '", value.name, "' must have shape ",
                   value.type.shape.to_string(), "; found ", data.type.to_string());
    EvalTensor tensor{data.type.shape, {}};
    tensor.data.resize(static_cast<size_t>(tensor.shape.elements()));
    load_elements(data.type.dtype, data.data, tensor.shape.elements(), tensor.data.data());
    if (options_.round_to_dtype) round_elements(value.type.dtype, &tensor.data);
    slot(id) = std::move(tensor);
    return &*slot(id);
  }

  Status run_node(const Node& node) {
    std::vector<const EvalTensor*> inputs;
    std::vector<const TensorType*> types;
    for (ValueId id : node.inputs) {
      types.push_back(id == kNone ? nullptr : &graph_.value(id).type);
      inputs.push_back(nullptr);
      if (id == kNone) continue;
      ZT_ASSIGN_OR_RETURN(inputs.back(), get(id));
    }
    ZT_ASSIGN_OR_RETURN(auto outputs,
                        reference_evaluate_node(op_def(node.op), node.attrs, types, inputs));
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      if (options_.round_to_dtype)
        round_elements(graph_.value(node.outputs[k]).type.dtype, &outputs[k].data);
      slot(node.outputs[k]) = std::move(outputs[k]);
    }
    for (ValueId id : node.inputs)
      if (id != kNone && --uses_[static_cast<size_t>(id)] == 0) slot(id).reset();
    return Status();
  }

  const Graph& graph_;
  const WeightSource& weights_;
  const EvaluateOptions& options_;
  std::vector<std::optional<EvalTensor>> values_;
  std::vector<int> uses_;
};

}  // namespace

Result<EvalTensors> reference_evaluate(const Graph& graph, const EvalTensors& inputs,
                                       const WeightSource& weights,
                                       const EvaluateOptions& options) {
  return Evaluator(graph, weights, options).run(inputs);
}

Result<std::vector<EvalTensor>> reference_evaluate_node(
    const OpDef& def, const Attrs& attrs, std::span<const TensorType* const> input_types,
    std::span<const EvalTensor* const> inputs) {
  const OpContext context{input_types, attrs};
  ZT_ASSIGN_OR_RETURN(const auto types, def.infer(context));
  if (!def.is_fused()) return run_definition(def, context, inputs, types);
  ZT_ASSIGN_OR_RETURN(const Graph graph, decomposed_node(def, attrs, input_types));
  EvalTensors named;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i] != nullptr) named[str(i)] = *inputs[i];
  ZT_ASSIGN_OR_RETURN(auto results, reference_evaluate(graph, named, MemoryWeights()));
  std::vector<EvalTensor> outputs;
  for (size_t k = 0; k < types.size(); ++k) outputs.push_back(std::move(results[str(k)]));
  return outputs;
}

void MemoryWeights::add(std::string name, DType dtype, const EvalTensor& tensor) {
  Entry& entry = entries_[std::move(name)];
  entry.type = {dtype, tensor.shape};
  entry.bytes.resize(static_cast<size_t>(entry.type.bytes()));
  store_elements(dtype, entry.bytes.data(), tensor.shape.elements(), tensor.data.data());
}

Result<TensorType> MemoryWeights::type(std::string_view name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end()) return error(Code::kNotFound, "no weight named '", name, "'");
  return it->second.type;
}

Result<WeightData> MemoryWeights::load(std::string_view name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end()) return error(Code::kNotFound, "no weight named '", name, "'");
  return WeightData{it->second.type, it->second.bytes.data(), nullptr};
}

}  // namespace zoetrope
