#include "graph/passes/fold_weights.h"

#include <algorithm>
#include <map>
#include <optional>

#include "graph/elements.h"
#include "graph/evaluate.h"
#include "graph/passes/rebuild.h"

namespace zoetrope {
namespace {

constexpr int64_t kSmall = 4096;  // elements that may be stored whatever they are made from

bool symbolic(const Attrs& attrs) {
  for (const auto& [name, value] : attrs.items()) {
    if (const auto* dim = std::get_if<Dim>(&value); dim && !dim->is_constant()) return true;
    if (const auto* dims = std::get_if<std::vector<Dim>>(&value))
      for (const Dim& d : *dims)
        if (!d.is_constant()) return true;
  }
  return false;
}

class WeightFolder {
 public:
  explicit WeightFolder(const Graph& graph)
      : r_(graph), known_(graph.values.size()), from_weight_(graph.values.size(), false) {}

  Result<FoldedGraph> run() {
    const Graph& from = r_.from();
    for (size_t i = 0; i < from.values.size(); ++i) {
      const Value& v = from.values[i];
      if (v.kind != ValueKind::kWeight) continue;
      TensorType type{v.type.dtype, Shape{}};
      for (const Dim& d : v.dims) type.shape.push_back(d.constant());
      known_[i] = type;
      from_weight_[i] = true;
    }
    for (const Node& node : from.nodes) classify(node);
    ZT_RETURN_IF_ERROR(find_frontier());
    for (const Node& node : from.nodes) {
      if (!folded(node)) r_.copy(node, r_.mapped(node.inputs));
      ZT_RETURN_IF_ERROR(r_.builder().status());
    }
    ZT_ASSIGN_OR_RETURN(result_.graph, r_.finish());
    return std::move(result_);
  }

 private:
  bool folded(const Node& node) const {
    const auto v = static_cast<size_t>(node.outputs[0]);
    return known_[v].has_value() && from_weight_[v];
  }

  // Fills in known_ where the node is constant.
  void classify(const Node& node) {
    if (node.outputs.size() != 1 || symbolic(node.attrs)) return;
    if (node.op == OpKind::kDequantize) return;  // it would be stored in more bits
    std::vector<const TensorType*> types;
    int64_t elements = 0;
    bool weight = false;
    for (ValueId id : node.inputs) {
      types.push_back(nullptr);
      if (id == kNone) continue;
      const auto v = static_cast<size_t>(id);
      if (!known_[v]) return;
      types.back() = &*known_[v];
      elements += known_[v]->shape.elements();
      weight = weight || from_weight_[v];
    }
    Attrs attrs = node.attrs;
    if (!verify_attrs(op_def(node.op), &attrs).ok()) return;
    auto out = op_def(node.op).infer(OpContext{types, attrs});
    if (!out.ok() || out->size() != 1) return;
    if ((*out)[0].shape.elements() > std::max(kSmall, elements)) return;
    known_[static_cast<size_t>(node.outputs[0])] = (*out)[0];
    from_weight_[static_cast<size_t>(node.outputs[0])] = weight;
  }

  // A folded value that something unfolded reads, or that leaves the graph, becomes a weight.
  Status find_frontier() {
    const Graph& from = r_.from();
    for (const GraphOutput& output : from.outputs) keep(output.value);
    for (const StatePair& pair : from.states) keep(pair.next);
    std::vector<bool> wanted(from.values.size(), false);
    for (const Node& node : from.nodes)
      if (!folded(node))
        for (ValueId id : node.inputs)
          if (id != kNone) wanted[static_cast<size_t>(id)] = true;
    for (const Node& node : from.nodes) {
      const ValueId id = node.outputs[0];
      if (!folded(node) || !wanted[static_cast<size_t>(id)]) continue;
      FoldedWeight weight;
      weight.name = str(from.name, ".folded.", from.value(id).name);
      weight.type = *known_[static_cast<size_t>(id)];
      ZT_ASSIGN_OR_RETURN(weight.recipe, extract(id));
      const ValueId now = r_.builder().weight(
          weight.name, {weight.type.shape.begin(), weight.type.shape.end()}, weight.type.dtype);
      ZT_RETURN_IF_ERROR(r_.builder().status());
      r_.set(id, now);
      result_.weights.push_back(std::move(weight));
    }
    return Status();
  }

  // What leaves the graph is made by a node of it.
  void keep(ValueId id) {
    if (r_.from().value(id).kind == ValueKind::kNode) from_weight_[static_cast<size_t>(id)] = false;
  }

  // The nodes under `id` as a graph of their own.
  Result<Graph> extract(ValueId id) const {
    const Graph& from = r_.from();
    std::vector<ValueId> stack{id};
    std::vector<NodeId> nodes;
    std::vector<ValueId> weights;
    std::map<ValueId, ValueId> map;
    while (!stack.empty()) {
      const ValueId at = stack.back();
      stack.pop_back();
      if (at == kNone || !map.emplace(at, kNone).second) continue;
      const Value& v = from.value(at);
      if (v.kind == ValueKind::kWeight) {
        weights.push_back(at);
        continue;
      }
      nodes.push_back(v.producer);
      for (ValueId in : from.nodes[static_cast<size_t>(v.producer)].inputs) stack.push_back(in);
    }
    std::sort(nodes.begin(), nodes.end());
    Builder b("folded");
    for (ValueId w : weights) {
      const TensorType& type = *known_[static_cast<size_t>(w)];
      map[w] = b.weight(from.value(w).name, {type.shape.begin(), type.shape.end()}, type.dtype);
    }
    for (NodeId n : nodes) {
      const Node& node = from.nodes[static_cast<size_t>(n)];
      std::vector<ValueId> inputs;
      for (ValueId in : node.inputs) inputs.push_back(in == kNone ? kNone : map.at(in));
      map[node.outputs[0]] = b.op(node.op, std::move(inputs), node.attrs, node.name);
    }
    b.output("value", map.at(id));
    ZT_ASSIGN_OR_RETURN(const Graph graph, b.finish());
    return bind(graph, {});
  }

  Rebuild r_;
  FoldedGraph result_;
  std::vector<std::optional<TensorType>> known_;  // by value: its type, where it is constant
  std::vector<bool> from_weight_;                 // and depends on a weight
};

}  // namespace

Result<FoldedGraph> fold_weights(const Graph& graph) { return WeightFolder(graph).run(); }

FoldedWeights::FoldedWeights(const WeightSource& base, const std::vector<FoldedWeight>& folded)
    : base_(base) {
  for (const FoldedWeight& w : folded) folded_.push_back(&w);
  std::sort(folded_.begin(), folded_.end(), [](auto* a, auto* b) { return a->name < b->name; });
}

const FoldedWeight* FoldedWeights::find(std::string_view name) const {
  const auto it =
      std::lower_bound(folded_.begin(), folded_.end(), name,
                       [](const FoldedWeight* w, std::string_view n) { return w->name < n; });
  return it != folded_.end() && (*it)->name == name ? *it : nullptr;
}

Result<TensorType> FoldedWeights::type(std::string_view name) const {
  if (const FoldedWeight* w = find(name)) return w->type;
  return base_.type(name);
}

Result<WeightData> FoldedWeights::load(std::string_view name) const {
  const FoldedWeight* w = find(name);
  if (w == nullptr) return base_.load(name);
  auto values = reference_evaluate(w->recipe, {}, base_);
  if (!values.ok()) return values.status().with_context(str("weight '", name, "'"));
  const EvalTensor& tensor = values->at("value");
  auto bytes = std::make_shared<std::vector<char>>(static_cast<size_t>(w->type.bytes()));
  store_elements(w->type.dtype, bytes->data(), w->type.shape.elements(), tensor.data.data());
  const void* data = bytes->data();
  return WeightData{w->type, data, std::move(bytes)};
}

}  // namespace zoetrope
