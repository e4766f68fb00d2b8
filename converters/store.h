// Shared by the families: a model's graphs and their weights into a file.
#pragma once

#include <vector>

#include "converters/convert.h"
#include "graph/weights.h"

namespace zoetrope {

// Folds what depends on weights alone into new weights, then writes the file. Every weight that
// `info`'s components name is in one of `sources`; float tensors are stored as options.dtype where
// given. A value that is not finite, or becomes so in that dtype, is an error.
Status store_model(ModelInfo info, const std::vector<const WeightSource*>& sources,
                   const ConvertOptions& options, const WriteProgress& progress);

}  // namespace zoetrope
