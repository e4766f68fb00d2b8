#include "graph/passes/rebuild.h"

#include "graph/passes/cleanup.h"

namespace zoetrope {

Rebuild::Rebuild(const Graph& from)
    : from_(from), builder_(&out_), map_(from.values.size(), kNone) {
  out_.name = from.name;
  out_.bound = from.bound;
  for (size_t i = 0; i < from.values.size(); ++i) {
    if (from.values[i].kind == ValueKind::kNode) continue;
    map_[i] = static_cast<ValueId>(out_.values.size());
    out_.values.push_back(from.values[i]);
  }
  for (ValueId id : from.inputs) out_.inputs.push_back(mapped(id));
  builder_ = Builder(&out_);  // learns the names
}

std::vector<ValueId> Rebuild::mapped(const std::vector<ValueId>& old) const {
  std::vector<ValueId> ids;
  for (ValueId id : old) ids.push_back(mapped(id));
  return ids;
}

std::vector<ValueId> Rebuild::copy(const Node& node, std::vector<ValueId> inputs) {
  std::vector<ValueId> outputs =
      builder_.add_node(node.op, std::move(inputs), node.attrs, node.name);
  for (size_t k = 0; k < node.outputs.size() && k < outputs.size(); ++k)
    set(node.outputs[k], outputs[k]);
  return outputs;
}

const Node* Rebuild::made_by(ValueId id, OpKind op) const {
  if (id == kNone || out_.value(id).producer == kNone) return nullptr;
  const Node& node = out_.nodes[static_cast<size_t>(out_.value(id).producer)];
  return node.op == op ? &node : nullptr;
}

Result<Graph> Rebuild::finish() {
  ZT_RETURN_IF_ERROR(builder_.status());
  for (const GraphOutput& output : from_.outputs)
    out_.outputs.push_back({output.name, mapped(output.value)});
  for (const StatePair& pair : from_.states) {
    const auto it = next_.find(pair.state);
    out_.states.push_back({mapped(pair.state), it != next_.end() ? it->second : mapped(pair.next)});
  }
  propagate_rates(&out_);
  return eliminate_dead(out_);
}

bool is_pointwise(OpKind op) {
  switch (op) {
    case OpKind::kNeg:
    case OpKind::kAbs:
    case OpKind::kExp:
    case OpKind::kLog:
    case OpKind::kSqrt:
    case OpKind::kRsqrt:
    case OpKind::kSin:
    case OpKind::kCos:
    case OpKind::kTanh:
    case OpKind::kSigmoid:
    case OpKind::kSilu:
    case OpKind::kGeluTanh:
    case OpKind::kGelu:
    case OpKind::kRelu:
    case OpKind::kFloor:
    case OpKind::kCast:
    case OpKind::kAdd:
    case OpKind::kSub:
    case OpKind::kMul:
    case OpKind::kDiv:
    case OpKind::kMin:
    case OpKind::kMax:
    case OpKind::kPow:
    case OpKind::kLess:
    case OpKind::kEqual:
    case OpKind::kSelect: return true;
    default: return false;
  }
}

}  // namespace zoetrope
