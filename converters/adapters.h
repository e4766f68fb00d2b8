// A model's weights with adapters on them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "graph/weights.h"

namespace zoetrope {

struct AdapterFile {
  std::string component;  // empty: all
  std::string path;
  double strength = 1;
};

// `weights`, which must live on, with the adapters in the order given; null without any. Errors
// name the file.
Result<std::shared_ptr<const WeightSource>> adapt_weights(
    const std::map<std::string, Graph, std::less<>>& components, std::string_view family,
    const WeightSource& weights, const std::vector<AdapterFile>& files);

}  // namespace zoetrope
