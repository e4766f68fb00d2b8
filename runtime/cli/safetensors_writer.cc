#include "runtime/cli/safetensors_writer.h"

#include <nlohmann/json.hpp>

#include "graph/format/output_file.h"

namespace zoetrope {
namespace {

const char* safetensors_dtype(DType dtype) {
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

Status write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  int64_t offset = 0;
  for (const TensorToWrite& t : tensors) {
    const char* dtype = safetensors_dtype(t.type.dtype);
    if (dtype == nullptr)
      return error(Code::kUnsupported, "tensor '", t.name, "': safetensors has no ",
                   dtype_name(t.type.dtype));
    const int64_t end = offset + t.type.bytes();
    header[t.name] = {{"dtype", dtype},
                      {"shape", std::vector<int64_t>(t.type.shape.begin(), t.type.shape.end())},
                      {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data begins at a multiple of 8
  uint8_t length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(text.size() >> (8 * i));
  ZT_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  ZT_RETURN_IF_ERROR(file.write(length, sizeof(length)));
  ZT_RETURN_IF_ERROR(file.write(text.data(), text.size()));
  for (const TensorToWrite& t : tensors)
    ZT_RETURN_IF_ERROR(file.write(t.data, static_cast<size_t>(t.type.bytes())));
  return file.commit();
}

}  // namespace zoetrope
