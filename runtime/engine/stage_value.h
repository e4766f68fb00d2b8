// A tensor that stages hand each other.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "graph/shape.h"

namespace zoetrope {

// What a stage gives and another takes: rows of the batch first. With one row only, every row of
// the denoiser's batch gets it.
struct StageValue {
  TensorType type;
  std::vector<uint8_t> bytes;  // empty in plans

  template <typename T>
  std::span<T> as() {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <typename T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  // Zeros of that type.
  static StageValue make(const TensorType& type) {
    return {type, std::vector<uint8_t>(static_cast<size_t>(type.bytes()))};
  }
};

using StageValues = std::map<std::string, StageValue>;

}  // namespace zoetrope
