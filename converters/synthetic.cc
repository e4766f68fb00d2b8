#include <algorithm>
#include <set>

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
  ZT_ASSIGN_OR_RETURN(std::vector<BuiltinPart> parts, builtin->build());
  if (builtin->recipe != nullptr) {
    const Recipe recipe = builtin->recipe();
    info.recipe = recipe_to_json(recipe);
    for (const Stage& stage : recipe.stages)
      if (const auto* text = std::get_if<EncodeText>(&stage)) {
        const StoredTokenizer tokenizer{text->tokenizer_name,
                                        std::string(tokenizer_name(text->tokenizer))};
        if (std::find(info.tokenizers.begin(), info.tokenizers.end(), tokenizer) ==
            info.tokenizers.end())
          info.tokenizers.push_back(tokenizer);
      }
  }
  info.provenance =
      "the shapes of " + name + " with generated weights: it computes, and means nothing";
  info.licence = "Apache-2.0";
  std::vector<TensorSource> tensors;
  for (BuiltinPart& part : parts) {
    const std::string scope = part.scope.empty() ? "" : part.scope + "/";
    std::set<std::string> listed;  // components of a part share weights
    for (Graph& graph : part.components) {
      for (ValueId id : graph.weights()) {
        Value& weight = graph.values[static_cast<size_t>(id)];
        const WeightInit init = initial_weight(weight);
        weight.name = scope + weight.name;
        if (!listed.insert(weight.name).second) continue;
        const bool constant = init.kind == WeightInit::Kind::kConstant;
        SyntheticTensor synthetic;
        synthetic.distribution = constant ? Distribution::kConstant : Distribution::kNormal;
        synthetic.a = constant ? init.value : 0;
        synthetic.b = init.value;
        synthetic.seed =
            hash_bytes({reinterpret_cast<const uint8_t*>(weight.name.data()), weight.name.size()});
        tensors.push_back({weight.name,
                           {options.dtype.value_or(DType::kBF16), weight.type.shape},
                           synthetic,
                           {}});
      }
      info.components.push_back(std::move(graph));
    }
  }
  return write_model(options.output, info, std::move(tensors), progress);
}

}  // namespace zoetrope
