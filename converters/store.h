// Shared by the families: a weight map to the tensor sources of a file, with an optional dtype.
#pragma once

#include <optional>
#include <vector>

#include "converters/weight_map.h"
#include "graph/format/model_writer.h"

namespace zoetrope {

// `map` must outlive the sources. Float tensors are stored as `dtype` where given.
Result<std::vector<TensorSource>> tensor_sources(const WeightMap& map, std::optional<DType> dtype);

}  // namespace zoetrope
