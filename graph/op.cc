#include "graph/op.h"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace zoetrope {
namespace {

using DefFunction = const OpDef& (*)();

constexpr DefFunction kDefinitions[] = {
#define ZT_OP(kind, name, def) &def,
#include "graph/ops/op_list.inc"
#undef ZT_OP
};

constexpr OpKind kKinds[] = {
#define ZT_OP(kind, name, def) OpKind::kind,
#include "graph/ops/op_list.inc"
#undef ZT_OP
};

std::string_view type_name(AttrType type) {
  switch (type) {
    case AttrType::kBool: return "a bool";
    case AttrType::kInt: return "an integer";
    case AttrType::kFloat: return "a float";
    case AttrType::kString: return "a string";
    case AttrType::kInts: return "a list of integers";
    case AttrType::kFloats: return "a list of floats";
  }
  return "?";
}

}  // namespace

const OpDef& op_def(OpKind kind) {
  static const auto defs = [] {
    std::array<const OpDef*, std::size(kDefinitions)> table{};
    for (size_t i = 0; i < table.size(); ++i) table[i] = &kDefinitions[i]();
    return table;
  }();
  return *defs[static_cast<size_t>(kind)];
}

const OpDef* find_op(std::string_view name) {
  static const auto by_name = [] {
    std::unordered_map<std::string_view, const OpDef*> map;
    for (OpKind kind : kKinds) map.emplace(op_def(kind).name, &op_def(kind));
    return map;
  }();
  const auto it = by_name.find(name);
  return it == by_name.end() ? nullptr : it->second;
}

std::span<const OpKind> all_ops() { return kKinds; }

Status verify_attrs(const OpDef& def, Attrs* attrs) {
  for (const auto& [name, value] : attrs->items()) {
    bool known = false;
    for (const AttrSpec& spec : def.attrs) known |= spec.name == name;
    if (!known)
      return error(Code::kInvalidArgument, "op ", def.name, " has no attribute '", name, "'");
  }
  for (const AttrSpec& spec : def.attrs) {
    const AttrValue* value = attrs->find(spec.name);
    if (value == nullptr) {
      if (spec.required)
        return error(Code::kInvalidArgument, "op ", def.name, " needs attribute '", spec.name,
                     "', ", type_name(spec.type));
      attrs->set(spec.name, spec.default_value);
    } else if (attr_type(*value) != spec.type) {
      return error(Code::kInvalidArgument, "attribute '", spec.name, "' of op ", def.name,
                   " must be ", type_name(spec.type), ", not ", type_name(attr_type(*value)));
    }
  }
  return Status();
}

Cost node_cost(const OpDef& def, const OpContext& context, std::span<const TensorType> outputs) {
  Cost cost;
  if (def.is_view) return cost;
  if (def.flops != nullptr) cost.flops = def.flops(context, outputs);
  for (const TensorType* input : context.inputs)
    if (input != nullptr) cost.bytes += static_cast<double>(input->bytes());
  for (const TensorType& output : outputs) cost.bytes += static_cast<double>(output.bytes());
  if (def.kind == OpKind::kGather || def.kind == OpKind::kSlice)  // read no more than they give
    cost.bytes -=
        static_cast<double>(std::max<int64_t>(context.inputs[0]->bytes() - outputs[0].bytes(), 0));
  return cost;
}

}  // namespace zoetrope
