// Shared by the families: a model's graphs and their weights into a file.
#pragma once

#include <string>
#include <vector>

#include "converters/convert.h"
#include "graph/weights.h"

namespace zoetrope {

// Components whose weights come from one source, among which they are shared. In the file, a
// weight's name begins with "<scope>/": two networks may both have a "blocks.0".
struct ModelPart {
  std::string scope;
  std::vector<Graph> components;
  const WeightSource* weights = nullptr;
};

// Folds what depends on weights alone into new weights, then writes the file; `info` has no
// components yet. Float tensors are stored as options.dtype where given. A value that is not
// finite, or becomes so in that dtype, is an error.
Status store_model(ModelInfo info, std::vector<ModelPart> parts, const ConvertOptions& options,
                   const WriteProgress& progress);

}  // namespace zoetrope
