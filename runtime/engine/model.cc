#include "runtime/engine/model.h"

#include "graph/format/hash.h"
#include "graph/format/model_file.h"

namespace zoetrope {

Result<Model> load_model(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(std::shared_ptr<ModelFile> file, ModelFile::open(path));
  const ModelInfo& info = file->info();
  Model model;
  model.name = info.name;
  model.family = info.family;
  model.path = path;
  model.digest = digest_text(file->root_hash());
  if (!info.recipe.empty()) {
    auto recipe = parse_recipe(info.recipe);
    if (!recipe.ok()) return recipe.status().with_context(path);
    model.recipe = std::move(*recipe);
  }
  for (const Graph& graph : info.components) model.components.emplace(graph.name, graph);
  model.tokenizer_kind = info.tokenizer_kind;
  if (info.tokenizer_kind == tokenizer_name(EncodeText::Tokenizer::kSentencePiece) &&
      !info.tokenizer.empty()) {
    auto opened = SentencePiece::open(info.tokenizer);
    if (!opened.ok()) return opened.status().with_context(path + ": the tokenizer");
    model.sentence_piece = std::move(*opened);
  }
  model.vocabulary = info.vocabulary;
  model.weights = std::move(file);
  return model;
}

}  // namespace zoetrope
