#include "converters/convert.h"
#include "graph/format/hash.h"
#include "models/registry.h"

namespace zoetrope {

Status convert_synthetic(const std::string& name, const ConvertOptions& options,
                         const WriteProgress& progress) {
  ZT_ASSIGN_OR_RETURN(const BuiltinModel* builtin, find_builtin_model(name));
  ModelInfo info;
  info.name = builtin->name;
  info.family = builtin->family;
  ZT_ASSIGN_OR_RETURN(info.components, builtin->build());
  if (builtin->recipe != nullptr) info.recipe = recipe_to_json(builtin->recipe());
  info.provenance =
      "the shapes of " + name + " with generated weights: it computes, and means nothing";
  info.licence = "Apache-2.0";
  std::vector<TensorSource> tensors;
  for (const Graph& graph : info.components) {
    for (ValueId id : graph.weights()) {
      const Value& weight = graph.value(id);
      const WeightInit init = initial_weight(weight);
      const auto* bytes = reinterpret_cast<const uint8_t*>(weight.name.data());
      SyntheticTensor synthetic;
      synthetic.distribution = init.kind == WeightInit::Kind::kConstant ? Distribution::kConstant
                                                                        : Distribution::kNormal;
      synthetic.a = init.kind == WeightInit::Kind::kConstant ? init.value : 0;
      synthetic.b = init.value;
      synthetic.seed = hash_bytes({bytes, weight.name.size()});
      tensors.push_back(
          {weight.name, {options.dtype.value_or(DType::kBF16), weight.type.shape}, synthetic, {}});
    }
  }
  return write_model(options.output, info, std::move(tensors), progress);
}

}  // namespace zoetrope
