#include "graph/format/safetensors.h"

#include <nlohmann/json.hpp>
#include <vector>

namespace zoetrope {
namespace {

const char* word_for(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "F32";
    case DType::kF16: return "F16";
    case DType::kBF16: return "BF16";
    case DType::kF64: return "F64";
    case DType::kI32: return "I32";
    case DType::kI64: return "I64";
    case DType::kI8: return "I8";
    case DType::kU8: return "U8";
    case DType::kBool: return "BOOL";
    case DType::kF8E4M3: return "F8_E4M3";
    case DType::kF8E5M2: return "F8_E5M2";
  }
  return nullptr;
}

}  // namespace

Result<std::string> safetensors_beginning(
    std::span<const std::pair<std::string, TensorType>> tensors,
    const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const auto& [name, type] : tensors) {
    const char* dtype = word_for(type.dtype);
    if (dtype == nullptr)
      return error(Code::kUnsupported, "tensor '", name, "': safetensors has no ",
                   dtype_name(type.dtype));
    const int64_t end = offset + type.bytes();
    header[name] = {{"dtype", dtype},
                    {"shape", std::vector<int64_t>(type.shape.begin(), type.shape.end())},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data begins at a multiple of 8
  std::string all;
  for (int i = 0; i < 8; ++i) all += static_cast<char>(text.size() >> (8 * i));
  return all + text;
}

}  // namespace zoetrope
