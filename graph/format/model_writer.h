// Writing a .zoe model file: tensors stream through, the same input gives the same bytes, and the
// file appears under its name only when it is whole.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "graph/format/model_file.h"

namespace zoetrope {

struct TensorSource {
  std::string name;
  TensorType type;
  std::optional<SyntheticTensor> synthetic;
  // Gives the bytes of a stored tensor; called once, in the order of names.
  std::function<Result<WeightData>()> load;
};

// Bytes done of bytes in all; false cancels.
using WriteProgress = std::function<bool(int64_t done, int64_t total)>;

// Writes under a temporary name and renames at the end; on any error nothing is left behind.
// Every weight of every component must be among `tensors`, with the graph's shape.
Status write_model(const std::string& path, const ModelInfo& info,
                   std::vector<TensorSource> tensors, const WriteProgress& progress = {});

}  // namespace zoetrope
