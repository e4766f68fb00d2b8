// A checkpoint being read: tensors by name, and what its header says.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/weights.h"

namespace zoetrope {

class Checkpoint : public WeightSource {
 public:
  virtual const std::string& path() const = 0;
  // Sorted.
  virtual const std::vector<std::string>& names() const = 0;
  virtual const std::map<std::string, std::string>& metadata() const = 0;
};

// safetensors: 8-byte length, JSON header, raw tensors. Mapped, not read. Every length, offset, shape
// and dtype is checked against the file first.
Result<std::unique_ptr<Checkpoint>> open_safetensors(const std::string& path);

}  // namespace zoetrope
