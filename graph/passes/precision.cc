#include "graph/passes/precision.h"

#include <map>

#include "graph/builder.h"

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
    case OpKind::kGroupNorm: return input >= 1;
    case OpKind::kRope: return input >= 1;  // tables stay f32
    case OpKind::kGather: return input == 0;
    case OpKind::kCast: return true;
    default: return false;
  }
}

class Rewriter {
 public:
  Rewriter(const Graph& from, DType compute) : from_(from), compute_(compute), builder_(&out_) {}

  Result<Graph> run(const StorageDType& storage) {
    out_.name = from_.name;
    out_.bound = from_.bound;
    map_.assign(from_.values.size(), kNone);
    for (size_t i = 0; i < from_.values.size(); ++i) {
      const Value& v = from_.values[i];
      if (v.kind == ValueKind::kNode) continue;
      map_[i] = static_cast<ValueId>(out_.values.size());
      out_.values.push_back(v);
      if (v.kind == ValueKind::kWeight && is_float(v.type.dtype)) {
        ZT_ASSIGN_OR_RETURN(out_.values.back().type.dtype, storage(v.name));
      }
    }
    builder_ = Builder(&out_);
    for (ValueId id : from_.inputs) out_.inputs.push_back(map_[static_cast<size_t>(id)]);
    for (const Node& node : from_.nodes) ZT_RETURN_IF_ERROR(rewrite(node));
    for (const GraphOutput& output : from_.outputs)
      out_.outputs.push_back(
          {output.name, as(mapped(output.value), from_.value(output.value).type.dtype)});
    for (const StatePair& pair : from_.states)
      out_.states.push_back(
          {mapped(pair.state), as(mapped(pair.next), from_.value(pair.state).type.dtype)});
    ZT_RETURN_IF_ERROR(builder_.status());
    propagate_rates(&out_);
    return std::move(out_);
  }

 private:
  ValueId mapped(ValueId id) const { return id == kNone ? kNone : map_[static_cast<size_t>(id)]; }

  DType dtype(ValueId id) const { return out_.value(id).type.dtype; }

  // `id` as `wanted`, by a cast that is shared.
  ValueId as(ValueId id, DType wanted) {
    if (id == kNone || dtype(id) == wanted || !is_float(dtype(id)) || !is_float(wanted)) return id;
    const auto key = std::make_pair(id, wanted);
    if (const auto it = casts_.find(key); it != casts_.end()) return it->second;
    const std::string name = out_.value(id).name + "." + std::string(dtype_name(wanted));
    return casts_[key] =
               builder_.op(OpKind::kCast, {id}, {{"dtype", std::string(dtype_name(wanted))}}, name);
  }

  // f32 for what is computed once or once a timestep; the compute type for the rest.
  DType working_dtype(const Node& node) const {
    Rate rate = Rate::kWeights;
    for (ValueId id : node.inputs)
      if (id != kNone) rate = std::max(rate, from_.value(id).rate);
    const bool island = node.inputs.empty() || rate == Rate::kWeights || rate == Rate::kShape ||
                        rate == Rate::kTimestep;
    return island ? DType::kF32 : compute_;
  }

  Status rewrite(const Node& node) {
    const DType working = working_dtype(node);
    std::vector<ValueId> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      ValueId id = mapped(node.inputs[i]);
      const bool weight = id != kNone && out_.value(id).kind == ValueKind::kWeight;
      if (id != kNone && !(reads_any_float(node.op, i) && (weight || node.op == OpKind::kRope)))
        id = as(id, node.op == OpKind::kCast ? dtype(id) : working);
      inputs.push_back(id);
    }
    std::vector<ValueId> outputs =
        builder_.add_node(node.op, std::move(inputs), node.attrs, node.name);
    ZT_RETURN_IF_ERROR(builder_.status());
    for (size_t k = 0; k < outputs.size(); ++k) {
      ValueId id = outputs[k];
      // A gather gives its table's dtype.
      if (node.op == OpKind::kGather) id = as(id, working);
      map_[static_cast<size_t>(node.outputs[k])] = id;
    }
    return Status();
  }

  const Graph& from_;
  DType compute_;
  Graph out_;
  Builder builder_;
  std::vector<ValueId> map_;
  std::map<std::pair<ValueId, DType>, ValueId> casts_;
};

}  // namespace

Result<Graph> choose_precision(const Graph& graph, DType compute, const StorageDType& storage) {
  if (compute != DType::kF32 && compute != DType::kBF16 && compute != DType::kF16)
    return error(Code::kInvalidArgument, "compute dtype ", dtype_name(compute),
                 ": expected f32, bf16 or f16");
  return Rewriter(graph, compute).run(storage);
}

}  // namespace zoetrope
