// Tensors with what they are, in one file that cannot be half there: a .safetensors file, which
// other programs read too, whose metadata holds a description, and hashes of it and of each tensor.
// Written under a temporary name, synced and renamed. Read with suspicion: a link, a pipe, bytes
// that its writer would not have written are errors that name the file.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "graph/format/mapped_file.h"
#include "graph/shape.h"

namespace zoetrope {

struct TensorView {
  std::string name;
  TensorType type;
  std::span<const uint8_t> bytes;

  static TensorView of(std::string name, std::span<const float> values, Shape shape) {
    return {std::move(name),
            {DType::kF32, shape},
            {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()}};
  }
};

// `kind` says what the file is for; `about` is the caller's.
Status write_tensor_file(const std::string& path, std::string_view kind,
                         const nlohmann::json& about, std::span<const TensorView> tensors);

struct TensorFile {
  MappedFile file;  // holds the tensors' bytes
  nlohmann::json about;
  std::vector<TensorView> tensors;
};

// Errors: kNotFound; kDataLoss of anything damaged, foreign or of another kind.
Result<TensorFile> read_tensor_file(const std::string& path, std::string_view kind);

// OK where there is a regular file, or nothing; kNotFound tells them apart. A link, folder, pipe or
// device is kDataLoss.
Status check_regular(const std::string& path);

}  // namespace zoetrope
