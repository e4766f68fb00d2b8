// Shared by the families: a model's graphs and their weights into a file.
#pragma once

#include "converters/convert.h"
#include "converters/weight_map.h"

namespace zoetrope {

// Folds what depends on weights alone into new weights, then writes the file. `map` holds the
// weights that `info`'s components name; float tensors are stored as options.dtype where given.
Status store_model(ModelInfo info, const WeightMap& map, const ConvertOptions& options,
                   const WriteProgress& progress);

}  // namespace zoetrope
