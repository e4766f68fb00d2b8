#include "runtime/cli/load_model.h"

namespace zoetrope {

Result<LoadedModel> load_model(const std::string& path) {
  LoadedModel loaded;
  ZT_ASSIGN_OR_RETURN(loaded.file, ModelFile::open(path));
  const ModelInfo& info = loaded.file->info();
  loaded.model.name = info.name;
  if (!info.recipe.empty()) {
    auto recipe = parse_recipe(info.recipe);
    if (!recipe.ok()) return recipe.status().with_context(path);
    if (!recipe->incomplete.empty()) loaded.model.incomplete = recipe->incomplete;
    ZT_ASSIGN_OR_RETURN(loaded.model.recipe, flatten(*recipe));
  }
  for (const Graph& graph : info.components) loaded.model.components.emplace(graph.name, graph);
  loaded.model.vocabulary = info.vocabulary;
  loaded.model.weights = loaded.file.get();
  return loaded;
}

}  // namespace zoetrope
