#include "converters/encoded.h"

#include "graph/passes/rebuild.h"

namespace zoetrope {

Result<Graph> EncodedWeights::read(const Graph& graph) {
  Rebuild r(graph);
  for (ValueId id : graph.weights()) {
    const Value& weight = graph.value(id);
    const auto layout = base_.encoded(weight.name);
    if (!layout) continue;
    Shape shape;
    for (const Dim& d : weight.dims) shape.push_back(d.constant());
    const int64_t rows = shape[0], columns = shape.elements() / rows;
    TensorType values = layout->bits == 4 ? TensorType{DType::kU8, {rows, columns / 2}}
                                          : TensorType{DType::kI8, {rows, columns}};
    // Where a row is one group, its values are as they lie in the file, and loading them is a view.
    if (layout->group == 0) {
      ZT_ASSIGN_OR_RETURN(const WeightData stored,
                          base_.load_part(weight.name, EncodedPart::kValues));
      values = stored.type;
    }
    const std::string name = values.dtype == DType::kF8E4M3
                                 ? weight.name + ".f8"
                                 : str(weight.name, ".int", layout->bits, "_", layout->group);
    const auto part = [&](const std::string& suffix, EncodedPart which, const TensorType& type) {
      if (parts_.emplace(name + suffix, Part{weight.name, which, type}).second &&
          which == EncodedPart::kValues)
        ++(layout->bits == 4 ? narrow_ : bytes_);
      return r.builder().weight(name + suffix, {type.shape.begin(), type.shape.end()}, type.dtype);
    };
    const TensorType factors{layout->scale,
                             {rows, layout->group == 0 ? 1 : columns / layout->group}};
    std::vector<ValueId> inputs{part("", EncodedPart::kValues, values),
                                part(".scale", EncodedPart::kScale, factors)};
    if (layout->offset) inputs.push_back(part(".offset", EncodedPart::kOffset, factors));
    r.set(id, r.builder().op(OpKind::kDequantize, std::move(inputs),
                             {{"dims", std::vector<Dim>(weight.dims)},
                              {"bits", Dim(layout->bits)},
                              {"group", Dim(layout->group)}},
                             weight.name + ".numbers"));
    ZT_RETURN_IF_ERROR(r.builder().status());
  }
  for (const Node& node : graph.nodes) {
    r.copy(node, r.mapped(node.inputs));
    ZT_RETURN_IF_ERROR(r.builder().status());
  }
  return r.finish();
}

Result<TensorType> EncodedWeights::type(std::string_view name) const {
  const auto it = parts_.find(name);
  if (it == parts_.end()) return base_.type(name);
  return it->second.type;
}

Result<WeightData> EncodedWeights::load(std::string_view name) const {
  const auto it = parts_.find(name);
  if (it == parts_.end()) return base_.load(name);
  return base_.load_part(it->second.weight, it->second.part);
}

}  // namespace zoetrope
