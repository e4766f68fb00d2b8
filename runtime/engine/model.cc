#include "runtime/engine/model.h"

#include "graph/format/hash.h"
#include "graph/format/model_file.h"
#include "runtime/text/byte_bpe.h"
#include "runtime/text/clip_bpe.h"
#include "runtime/text/piece_bpe.h"
#include "runtime/text/sentencepiece.h"

namespace zoetrope {
namespace {

Result<std::shared_ptr<const Tokenizer>> open_tokenizer(const StoredTokenizer& stored) {
  std::shared_ptr<const Tokenizer> tokenizer;
  if (stored.data.empty()) return tokenizer;
  if (stored.kind == tokenizer_name(EncodeText::Tokenizer::kSentencePiece)) {
    ZT_ASSIGN_OR_RETURN(tokenizer, SentencePiece::open(stored.data));
  } else if (stored.kind == tokenizer_name(EncodeText::Tokenizer::kClipBpe)) {
    ZT_ASSIGN_OR_RETURN(tokenizer, ClipBpe::open(stored.data));
  } else if (stored.kind == tokenizer_name(EncodeText::Tokenizer::kByteBpe)) {
    ZT_ASSIGN_OR_RETURN(tokenizer, ByteBpe::open(stored.data));
  } else if (stored.kind == tokenizer_name(EncodeText::Tokenizer::kPieceBpe)) {
    ZT_ASSIGN_OR_RETURN(tokenizer, PieceBpe::open(stored.data));
  }
  return tokenizer;
}

}  // namespace

Result<Model> make_model(const ModelInfo& info, std::shared_ptr<const WeightSource> weights,
                         const std::string& path) {
  Model model;
  model.name = info.name;
  model.family = info.family;
  if (!info.recipe.empty()) {
    auto recipe = parse_recipe(info.recipe);
    if (!recipe.ok()) return recipe.status().with_context(path);
    model.recipe = std::move(*recipe);
  }
  for (const Graph& graph : info.components) model.components.emplace(graph.name, graph);
  for (const StoredTokenizer& stored : info.tokenizers) {
    auto opened = open_tokenizer(stored);
    if (!opened.ok())
      return opened.status().with_context(
          str(path, ": the tokenizer", stored.name.empty() ? "" : str(" '", stored.name, "'")));
    model.tokenizers[stored.name] = {stored.kind, std::move(*opened)};
  }
  model.vocabulary = info.vocabulary;
  model.weights = std::move(weights);
  return model;
}

Result<Model> load_model(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const std::shared_ptr<ModelFile> file, ModelFile::open(path));
  ZT_ASSIGN_OR_RETURN(Model model, make_model(file->info(), file, path));
  model.path = path;
  model.digest = digest_text(file->root_hash());
  model.file = file;
  return model;
}

}  // namespace zoetrope
