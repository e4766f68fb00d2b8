// Tensors into a .safetensors file, for other programs to read.
#pragma once

#include <string>
#include <vector>

#include "graph/shape.h"

namespace zoetrope {

struct TensorToWrite {
  std::string name;
  TensorType type;
  const void* data = nullptr;
};

// The file appears whole or not at all. kUnsupported: a dtype that the format has no word for.
Status write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors);

}  // namespace zoetrope
