// A published checkpoint in a folder of its own, to be changed: what a configuration says, what the
// weights are.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "converters/checkpoint.h"
#include "converters/convert.h"
#include "graph/format/recipe.h"
#include "tests/format/small_model.h"

namespace zoetrope {

struct StoredTensor {
  DType dtype;
  std::vector<int64_t> dims;
  std::vector<uint8_t> bytes;

  void set(int64_t index, double value) { store_element(dtype, bytes.data(), index, value); }
  // The same shape as another dtype, all zero.
  void become(DType other) {
    bytes.assign(bytes.size() / static_cast<size_t>(dtype_size(dtype)) *
                     static_cast<size_t>(dtype_size(other)),
                 0);
    dtype = other;
  }
};
using StoredTensors = std::map<std::string, StoredTensor>;

class Published {
 public:
  // `source`: a file or folder under tests/; a file comes with the config.json beside it.
  explicit Published(const std::string& source) {
    const std::filesystem::path from = std::string(ZOETROPE_SOURCE_DIR) + "/tests/" + source;
    if (std::filesystem::is_directory(from)) {
      std::filesystem::copy(from, path(), std::filesystem::copy_options::recursive);
      return;
    }
    std::filesystem::create_directory(path());
    std::filesystem::copy(from, path() + from.filename().string());
    if (std::filesystem::exists(from.parent_path() / "config.json"))
      std::filesystem::copy(from.parent_path() / "config.json", path());
  }

  std::string path(const std::string& name = "") const { return folder_.file("in/" + name); }
  std::string output() const { return folder_.file("model.zoe"); }

  void edit(const std::string& name, const std::function<void(nlohmann::json&)>& change) const {
    std::ifstream in(path(name));
    nlohmann::json json = in ? nlohmann::json::parse(in) : nlohmann::json::object();
    in.close();
    change(json);
    std::ofstream(path(name)) << json;
  }

  // Rewrites the weights of `name` (a file, or a folder with one) as safetensors.
  void edit_weights(const std::string& name, const std::function<void(StoredTensors&)>& change,
                    const nlohmann::json& metadata = nlohmann::json::object()) const {
    std::string target = path(name);
    StoredTensors tensors;
    {
      const auto file = open_checkpoint(target);
      REQUIRE_MESSAGE(file.ok(), file.status().message());
      for (const std::string& key : (*file)->names()) {
        const auto data = (*file)->load(key);
        REQUIRE(data.ok());
        const auto* bytes = static_cast<const uint8_t*>(data->data);
        const Shape& shape = data->type.shape;
        StoredTensor& tensor = tensors[key];
        tensor.dtype = data->type.dtype;
        for (int i = 0; i < shape.rank(); ++i) tensor.dims.push_back(shape[i]);
        tensor.bytes.assign(bytes, bytes + data->type.bytes());
      }
      target = (*file)->path();
    }
    change(tensors);
    std::filesystem::remove(target);
    write(std::filesystem::path(target).replace_extension(".safetensors"), tensors, metadata);
  }

  Status convert(ConvertOptions options = {.input = "", .output = ""},
                 const std::string& name = "") const {
    options.input = path(name);
    options.output = output();
    return zoetrope::convert(options);
  }
  // The conversion must fail; its message.
  std::string refusal(const ConvertOptions& options = {.input = "", .output = ""},
                      const std::string& name = "") const {
    const Status status = convert(options, name);
    CHECK_FALSE(status.ok());
    CHECK_FALSE(std::filesystem::exists(output()));
    return status.message();
  }
  std::unique_ptr<ModelFile> converted(const ConvertOptions& options = {.input = "", .output = ""},
                                       const std::string& name = "") const {
    const Status status = convert(options, name);
    REQUIRE_MESSAGE(status.ok(), status.message());
    auto file = ModelFile::open(output());
    REQUIRE_MESSAGE(file.ok(), file.status().message());
    CHECK((*file)->verify_tensors(/*finite=*/true).ok());
    return std::move(*file);
  }

 private:
  static constexpr std::pair<DType, const char*> kNames[] = {
      {DType::kF32, "F32"},        {DType::kF16, "F16"}, {DType::kBF16, "BF16"},
      {DType::kF64, "F64"},        {DType::kI8, "I8"},   {DType::kBool, "BOOL"},
      {DType::kF8E4M3, "F8_E4M3"}, {DType::kU8, "U8"}};

  static void write(const std::string& path, const StoredTensors& tensors,
                    const nlohmann::json& metadata) {
    nlohmann::json header = nlohmann::json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::string data;
    for (const auto& [key, tensor] : tensors) {
      const size_t begin = data.size();
      data.append(tensor.bytes.begin(), tensor.bytes.end());
      const char* dtype = "?";
      for (const auto& [kind, text] : kNames)
        if (kind == tensor.dtype) dtype = text;
      header[key] = {
          {"dtype", dtype}, {"shape", tensor.dims}, {"data_offsets", {begin, data.size()}}};
    }
    const std::string text = header.dump();
    std::string length(8, '\0');
    const uint64_t size = text.size();
    std::memcpy(length.data(), &size, 8);
    std::ofstream(path, std::ios::binary) << length << text << data;
  }

  TemporaryFolder folder_;
};

inline bool mentions(const std::string& text, const std::string& what) {
  CAPTURE(text);
  CAPTURE(what);
  const bool found = text.find(what) != std::string::npos;
  CHECK(found);
  return found;
}

struct Change {
  const char* key;
  nlohmann::json value;
  const char* expected;  // in the message
};

// Each change of one file, alone, is refused with a message that says what and where.
inline void check_refused(const std::string& source, const std::string& file,
                          const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    CAPTURE(change.key);
    CAPTURE(change.value.dump());
    const Published folder(source);
    folder.edit(file, [&](nlohmann::json& config) { config[change.key] = change.value; });
    mentions(folder.refusal(), change.expected);
  }
}

inline Recipe recipe_of(const ModelFile& file) {
  auto recipe = parse_recipe(file.info().recipe);
  REQUIRE_MESSAGE(recipe.ok(), recipe.status().message());
  return std::move(*recipe);
}

}  // namespace zoetrope
