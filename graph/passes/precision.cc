#include "graph/passes/precision.h"

#include <map>

#include "graph/passes/rebuild.h"

namespace zoetrope {
namespace {

// Inputs that may have another float dtype than input 0.
bool reads_any_float(OpKind op, size_t input) {
  switch (op) {
    case OpKind::kMatmul:
    case OpKind::kConv:
    case OpKind::kConvTranspose:
    case OpKind::kRmsNorm:
    case OpKind::kLayerNorm:
    case OpKind::kGroupNorm:
    case OpKind::kRope: return input >= 1;  // rope's tables stay f32
    case OpKind::kGather: return input == 0;
    case OpKind::kCast:
    case OpKind::kQuantizedMatmul:
    case OpKind::kDequantize: return true;
    default: return false;
  }
}

// Ops whose inputs stay as they are.
bool keeps_dtypes(OpKind op) {
  return op == OpKind::kCast || op == OpKind::kQuantizedMatmul || op == OpKind::kDequantize;
}

// f32 for what is computed once or once a timestep; the compute type for the rest.
bool is_island(const Graph& graph, const Node& node) {
  Rate rate = Rate::kWeights;
  for (ValueId id : node.inputs)
    if (id != kNone) rate = std::max(rate, graph.value(id).rate);
  return node.inputs.empty() || rate == Rate::kWeights || rate == Rate::kShape ||
         rate == Rate::kTimestep;
}

class Rewriter {
 public:
  Rewriter(const Graph& from, DType compute, const std::set<std::string>& narrow)
      : r_(from), compute_(compute), narrow_(narrow) {}

  Result<Graph> run(const StorageDType& storage) {
    const Graph& from = r_.from();
    for (size_t i = 0; i < from.values.size(); ++i) {
      const Value& v = from.values[i];
      if (v.kind != ValueKind::kWeight || !is_float(v.type.dtype)) continue;
      ZT_ASSIGN_OR_RETURN(const DType stored, storage(v.name));
      r_.set_dtype(r_.mapped(static_cast<ValueId>(i)), stored);
    }
    for (const StatePair& pair : from.states) {
      const Value& state = from.value(pair.state);
      if (state.type.dtype == DType::kF32 && narrow_.contains(state.name))
        r_.set_dtype(r_.mapped(pair.state), compute_);
    }
    for (const Node& node : from.nodes) ZT_RETURN_IF_ERROR(rewrite(node));
    for (const StatePair& pair : from.states)
      r_.set_next(pair.state, as(r_.mapped(pair.next), dtype(r_.mapped(pair.state))));
    for (const GraphOutput& output : from.outputs) keep_type(output.value);
    return r_.finish();
  }

 private:
  DType dtype(ValueId id) const { return r_.type(id).dtype; }

  void keep_type(ValueId old) { r_.set(old, as(r_.mapped(old), r_.from().value(old).type.dtype)); }

  // Also one that is stored in fewer bits.
  bool is_weight(ValueId id) const {
    return r_.out().value(id).kind == ValueKind::kWeight ||
           r_.made_by(id, OpKind::kDequantize) != nullptr;
  }

  // `id` as `wanted`, by a cast that is shared.
  ValueId as(ValueId id, DType wanted) {
    if (id == kNone || dtype(id) == wanted || !is_float(dtype(id)) || !is_float(wanted)) return id;
    const auto key = std::make_pair(id, wanted);
    if (const auto it = casts_.find(key); it != casts_.end()) return it->second;
    const std::string name = r_.out().value(id).name + "." + std::string(dtype_name(wanted));
    return casts_[key] = r_.builder().op(OpKind::kCast, {id},
                                         {{"dtype", std::string(dtype_name(wanted))}}, name);
  }

  DType working_dtype(const Node& node) const {
    return is_island(r_.from(), node) ? DType::kF32 : compute_;
  }

  Status rewrite(const Node& node) {
    const DType working = working_dtype(node);
    std::vector<ValueId> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      ValueId id = r_.mapped(node.inputs[i]);
      const bool weight = id != kNone && is_weight(id);
      if (id != kNone && !(reads_any_float(node.op, i) && (weight || node.op == OpKind::kRope)))
        id = as(id, keeps_dtypes(node.op) ? dtype(id) : working);
      inputs.push_back(id);
    }
    Node chosen = node;
    if (node.op == OpKind::kQuantizedMatmul || node.op == OpKind::kDequantize)
      chosen.attrs.set(
          "dtype", std::string(dtype_name(node.op == OpKind::kDequantize ? compute_ : working)));
    const std::vector<ValueId> outputs = r_.copy(chosen, std::move(inputs));
    ZT_RETURN_IF_ERROR(r_.builder().status());
    // A gather gives its table's dtype.
    if (node.op == OpKind::kGather) r_.set(node.outputs[0], as(outputs[0], working));
    return Status();
  }

  Rebuild r_;
  DType compute_;
  const std::set<std::string>& narrow_;
  std::map<std::pair<ValueId, DType>, ValueId> casts_;
};

}  // namespace

std::set<std::string> narrowable_states(const Graph& graph) {
  std::set<ValueId> wide;
  for (const GraphOutput& output : graph.outputs) wide.insert(output.value);
  for (const StatePair& pair : graph.states) wide.insert(pair.next);
  for (const Node& node : graph.nodes)
    if (keeps_dtypes(node.op) || node.op == OpKind::kRope || is_island(graph, node))
      wide.insert(node.inputs.begin(), node.inputs.end());
  std::set<std::string> names;
  for (const StatePair& pair : graph.states)
    if (!wide.contains(pair.state)) names.insert(graph.value(pair.state).name);
  return names;
}

Result<Graph> choose_precision(const Graph& graph, DType compute, const StorageDType& storage,
                               const std::set<std::string>& narrow) {
  if (compute != DType::kF32 && compute != DType::kBF16 && compute != DType::kF16)
    return error(Code::kInvalidArgument, "compute dtype ", dtype_name(compute),
                 ": expected f32, bf16 or f16");
  return Rewriter(graph, compute, narrow).run(storage);
}

}  // namespace zoetrope
