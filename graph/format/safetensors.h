// What a .safetensors file begins with: 8 bytes of length and a JSON header; raw tensors follow,
// one behind the other, in the order given.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>

#include "graph/shape.h"

namespace zoetrope {

// kUnsupported: a dtype that the format has no word for. `metadata` may be empty.
Result<std::string> safetensors_beginning(
    std::span<const std::pair<std::string, TensorType>> tensors,
    const std::map<std::string, std::string>& metadata);

}  // namespace zoetrope
