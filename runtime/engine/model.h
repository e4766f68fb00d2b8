// A model as the engine sees it: graphs by name, recipe, vocabulary, and where weights come from.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/format/model_file.h"
#include "graph/format/recipe.h"
#include "graph/graph.h"
#include "graph/weights.h"
#include "runtime/text/tokenizer.h"

namespace zoetrope {

struct ModelTokenizer {
  std::string kind;                       // as the recipe names it
  std::shared_ptr<const Tokenizer> data;  // null: bytes, or the file holds none
};

struct Model {
  std::string name, family;
  std::string path, digest;  // of the file; empty: made in memory
  Recipe recipe;
  std::map<std::string, Graph, std::less<>> components;
  std::map<std::string, ModelTokenizer, std::less<>> tokenizers;  // by name
  std::vector<std::string> vocabulary;                            // sorted; empty: not known
  std::shared_ptr<const WeightSource> weights;
  std::shared_ptr<const ModelFile> file;  // which they come from; null: made in memory

  const Graph* component(std::string_view wanted) const {
    const auto it = components.find(wanted);
    return it == components.end() ? nullptr : &it->second;
  }
};

// A model of these parts; `path` is for errors.
Result<Model> make_model(const ModelInfo& info, std::shared_ptr<const WeightSource> weights,
                         const std::string& path);

// Maps the file and reads everything but the weights. Errors name the file.
Result<Model> load_model(const std::string& path);

}  // namespace zoetrope
