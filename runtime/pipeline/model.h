// A model as the pipeline sees it: graphs by component, recipe, vocabulary, weights.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/format/recipe.h"
#include "graph/graph.h"
#include "graph/weights.h"

namespace zoetrope {

struct Model {
  std::string name;
  Recipe recipe;
  std::map<std::string, Graph, std::less<>> components;
  std::vector<std::string> vocabulary;    // sorted; empty: not known
  const WeightSource* weights = nullptr;  // not owned

  const Graph* component(std::string_view wanted) const {
    const auto it = components.find(wanted);
    return it == components.end() ? nullptr : &it->second;
  }
};

}  // namespace zoetrope
