#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "converters/mapped_checkpoint.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxHeader = 100u << 20;  // the format's own limit

Result<DType> parse_safetensors_dtype(const std::string& name) {
  constexpr std::pair<const char*, DType> kTypes[] = {
      {"F64", DType::kF64},        {"F32", DType::kF32},       {"F16", DType::kF16},
      {"BF16", DType::kBF16},      {"I64", DType::kI64},       {"I32", DType::kI32},
      {"I8", DType::kI8},          {"U8", DType::kU8},         {"BOOL", DType::kBool},
      {"F8_E4M3", DType::kF8E4M3}, {"F8_E5M2", DType::kF8E5M2}};
  for (const auto& [text, dtype] : kTypes)
    if (name == text) return dtype;
  return error(Code::kUnsupported, "dtype ", name.substr(0, 32), " is not supported");
}

struct Entry {
  TensorType type;
  uint64_t begin, end;
};

class Safetensors : public MappedCheckpoint<Entry> {
 public:
  Result<WeightData> load(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const Entry* entry, find(name));
    return mapped_view(entry->type, data_.data() + entry->begin);
  }

 private:
  Status parse() override {
    const std::span<const uint8_t> bytes = file_.bytes();
    if (bytes.size() < 8) return error(Code::kDataLoss, "too short for a safetensors file");
    uint64_t header = 0;
    for (int i = 7; i >= 0; --i) header = header << 8 | bytes[static_cast<size_t>(i)];
    if (header > kMaxHeader || header > bytes.size() - 8)
      return error(Code::kDataLoss, "not a safetensors file, or cut short: it states a header of ",
                   header, " bytes and has ", bytes.size());
    data_ = bytes.subspan(8 + header);
    const char* text = reinterpret_cast<const char*>(bytes.data()) + 8;
    // Parsers keep one of equal keys: which weights those are would be chance.
    std::set<std::string> keys;
    std::string twice;
    const auto look = [&](int depth, Json::parse_event_t event, Json& parsed) {
      if (depth == 1 && event == Json::parse_event_t::key && parsed.is_string() &&
          !keys.insert(parsed.get<std::string>()).second)
        twice = parsed.get<std::string>();
      return true;
    };
    const Json json = Json::parse(text, text + header, look, /*allow_exceptions=*/false);
    if (!twice.empty())
      return error(Code::kDataLoss, "the header has tensor '", twice.substr(0, 200), "' twice");
    if (!json.is_object()) return error(Code::kDataLoss, "the header is not a JSON object");
    for (const auto& [name, value] : json.items())
      ZT_RETURN_IF_ERROR(
          name == "__metadata__"
              ? read_metadata(value)
              : read_tensor(name, value).with_context(str("tensor '", name.substr(0, 200), "'")));
    return check_coverage();
  }

  Status read_metadata(const Json& value) {
    if (!value.is_object()) return error(Code::kDataLoss, "__metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) return error(Code::kDataLoss, "metadata '", key, "' is not a string");
      metadata_[key] = text.get<std::string>();
    }
    return Status();
  }

  Status read_tensor(const std::string& name, const Json& value) {
    const auto dtype = value.is_object() ? value.find("dtype") : value.end();
    const auto shape = value.is_object() ? value.find("shape") : value.end();
    const auto offsets = value.is_object() ? value.find("data_offsets") : value.end();
    if (dtype == value.end() || !dtype->is_string() || shape == value.end() || !shape->is_array() ||
        offsets == value.end() || !offsets->is_array() || offsets->size() != 2 ||
        !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned())
      return error(Code::kDataLoss, "needs dtype, shape and data_offsets");
    Entry entry;
    ZT_ASSIGN_OR_RETURN(entry.type.dtype, parse_safetensors_dtype(dtype->get<std::string>()));
    std::vector<int64_t> dims;
    for (const Json& dim : *shape) {
      if (!dim.is_number_unsigned() || dim.get<uint64_t>() > (uint64_t{1} << 46))
        return error(Code::kDataLoss, "bad dimension ", dim.dump().substr(0, 32));
      dims.push_back(dim.get<int64_t>());
    }
    ZT_ASSIGN_OR_RETURN(const int64_t elements, checked_elements(dims));
    entry.type.shape = Shape(std::span<const int64_t>(dims));
    entry.begin = (*offsets)[0].get<uint64_t>();
    entry.end = (*offsets)[1].get<uint64_t>();
    const auto length = static_cast<uint64_t>(elements * dtype_size(entry.type.dtype));
    if (entry.begin <= entry.end && entry.end > data_.size())
      return error(Code::kDataLoss, "ends at byte ", entry.end,
                   " of the data, but the file has only ", data_.size(),
                   " bytes of them; an interrupted download?");
    if (entry.begin > entry.end || entry.end - entry.begin != length)
      return error(Code::kDataLoss, entry.type.to_string(), " needs ", length,
                   " bytes; offsets are ", entry.begin, " to ", entry.end, " of ", data_.size());
    names_.push_back(name);
    tensors_.emplace(name, entry);
    return Status();
  }

  // Every byte belongs to one tensor, as the format has it: what lies between them would be read by
  // nobody, or by somebody else.
  Status check_coverage() const {
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (const auto& [name, entry] : tensors_) ranges.emplace_back(entry.begin, entry.end);
    std::sort(ranges.begin(), ranges.end());
    uint64_t covered = 0;
    const auto hole = [&](uint64_t until) {
      return error(Code::kDataLoss, "bytes ", covered, " to ", until, " of the data, of ",
                   data_.size(),
                   ", belong to no tensor: damaged, or made by a faulty program; save "
                   "it again with the safetensors package");
    };
    for (const auto& [begin, end] : ranges) {
      if (begin < covered) return error(Code::kDataLoss, "tensors overlap at byte ", begin);
      if (begin > covered) return hole(begin);
      covered = end;
    }
    return covered == data_.size() ? Status() : hole(data_.size());
  }

  std::span<const uint8_t> data_;
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> open_safetensors(const std::string& path) {
  return open_mapped<Safetensors>(path);
}

}  // namespace zoetrope
