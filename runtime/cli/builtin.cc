#include "runtime/cli/builtin.h"

#include "models/registry.h"

namespace zoetrope {
namespace {

class ShapesOnly : public WeightSource {
 public:
  ShapesOnly(std::string model, DType storage) : model_(std::move(model)), storage_(storage) {}

  void add(const std::string& name, const Shape& shape) { shapes_.emplace(name, shape); }

  Result<TensorType> type(std::string_view name) const override {
    const auto it = shapes_.find(name);
    if (it == shapes_.end()) return error(Code::kNotFound, "no weight named '", name, "'");
    return TensorType{storage_, it->second};
  }
  Result<WeightData> load(std::string_view) const override {
    return error(Code::kUnsupported, "'", model_,
                 "' is the shape of a model, without weights; `zoetrope convert synthetic:", model_,
                 " -o model.zoe` makes a file with generated ones");
  }

 private:
  const std::string model_;
  const DType storage_;
  std::map<std::string, Shape, std::less<>> shapes_;
};

}  // namespace

Result<Model> builtin_model(std::string_view name, DType storage) {
  ZT_ASSIGN_OR_RETURN(const BuiltinModel* const builtin, find_builtin_model(name));
  if (builtin->recipe == nullptr)
    return error(Code::kUnsupported, "'", name,
                 "' is built in as a network alone, without a recipe for clips");
  Model model;
  model.name = builtin->name;
  model.family = builtin->family;
  model.recipe = builtin->recipe();
  for (const Stage& stage : model.recipe.stages)
    if (const auto* text = std::get_if<EncodeText>(&stage))
      model.tokenizers[text->tokenizer_name] = {std::string(tokenizer_name(text->tokenizer)),
                                                nullptr};
  auto weights = std::make_shared<ShapesOnly>(model.name, storage);
  ZT_ASSIGN_OR_RETURN(std::vector<BuiltinPart> parts, builtin->build());
  for (BuiltinPart& part : parts) {
    const std::string scope = part.scope.empty() ? "" : part.scope + "/";
    for (Graph& graph : part.components) {
      for (ValueId id : graph.weights()) {
        Value& weight = graph.values[static_cast<size_t>(id)];
        weight.name = scope + weight.name;
        weights->add(weight.name, weight.type.shape);
      }
      std::string component = graph.name;
      model.components.emplace(std::move(component), std::move(graph));
    }
  }
  model.weights = std::move(weights);
  return model;
}

}  // namespace zoetrope
