// A model as the pipeline sees it: graphs by component, recipe, vocabulary, weights.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/weights.h"
#include "runtime/pipeline/flat_recipe.h"

namespace zoetrope {

struct Model {
  std::string name;
  FlatRecipe recipe;
  std::string incomplete;  // why it cannot generate
  std::map<std::string, Graph, std::less<>> components;
  std::vector<std::string> vocabulary;    // sorted; empty: not known
  const WeightSource* weights = nullptr;  // not owned

  const Graph* component(std::string_view wanted) const {
    const auto it = components.find(wanted);
    return it == components.end() ? nullptr : &it->second;
  }
};

}  // namespace zoetrope
