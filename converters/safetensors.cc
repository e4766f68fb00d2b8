#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "converters/mapped_checkpoint.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxHeader = 100'000'000;  // bytes; the safetensors package's limit
constexpr uint64_t kMaxElements = uint64_t{1} << 46;

// Of every dtype that the format has; no DType: one that no model here has.
struct Stored {
  int64_t bits = 0;
  std::optional<DType> dtype;
};

std::optional<Stored> parse_safetensors_dtype(std::string_view name) {
  constexpr std::pair<const char*, DType> kTypes[] = {
      {"F64", DType::kF64},        {"F32", DType::kF32},       {"F16", DType::kF16},
      {"BF16", DType::kBF16},      {"I64", DType::kI64},       {"I32", DType::kI32},
      {"I8", DType::kI8},          {"U8", DType::kU8},         {"BOOL", DType::kBool},
      {"F8_E4M3", DType::kF8E4M3}, {"F8_E5M2", DType::kF8E5M2}};
  constexpr std::pair<const char*, int64_t> kOthers[] = {
      {"F4", 4},   {"F6_E2M3", 6},     {"F6_E3M2", 6},    {"F8_E8M0", 8},
      {"I16", 16}, {"U16", 16},        {"U32", 32},       {"C64", 64},
      {"U64", 64}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}};
  for (const auto& [text, dtype] : kTypes)
    if (name == text) return Stored{8 * dtype_size(dtype), dtype};
  for (const auto& [text, bits] : kOthers)
    if (name == text) return Stored{bits, std::nullopt};
  return std::nullopt;
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
  static Result<Json> parse_header(std::string_view text) {
    // What the parser would pass over, and the safetensors package does not.
    if (text.starts_with("\xef\xbb\xbf") || text.find('\0') != text.npos)
      return error(Code::kDataLoss, "the header has a byte order mark or zeros around its JSON");
    // Parsers keep one of equal keys: which weights those are would be chance.
    std::set<std::string> keys, fields;
    std::string twice;
    const auto look = [&](int depth, Json::parse_event_t event, Json& parsed) {
      if (event == Json::parse_event_t::object_start && depth == 1) fields.clear();
      if (event == Json::parse_event_t::key && (depth == 1 || depth == 2))
        if (auto& seen = depth == 1 ? keys : fields; !seen.insert(parsed.get<std::string>()).second)
          twice = parsed.get<std::string>();
      return true;
    };
    Json json = Json::parse(text, look, /*allow_exceptions=*/false);
    if (!twice.empty())
      return error(Code::kDataLoss, "the header has '", twice.substr(0, 200), "' twice");
    if (!json.is_object()) return error(Code::kDataLoss, "the header is not a JSON object");
    return json;
  }

  Status parse() override {
    const std::span<const uint8_t> bytes = file_.bytes();
    if (bytes.size() < 8) return error(Code::kDataLoss, "too short for a safetensors file");
    uint64_t header = 0;
    for (int i = 7; i >= 0; --i) header = header << 8 | bytes[static_cast<size_t>(i)];
    if (header > kMaxHeader || header > bytes.size() - 8)
      return error(Code::kDataLoss, "not a safetensors file, or cut short: it states a header of ",
                   header, " bytes and has ", bytes.size());
    data_ = bytes.subspan(8 + header);
    ZT_ASSIGN_OR_RETURN(const Json json,
                        parse_header({reinterpret_cast<const char*>(bytes.data()) + 8, header}));
    for (const auto& [name, value] : json.items())
      ZT_RETURN_IF_ERROR(
          name == "__metadata__"
              ? read_metadata(value)
              : read_tensor(name, value).with_context(str("tensor '", name.substr(0, 200), "'")));
    return check_coverage();
  }

  Status read_metadata(const Json& value) {
    if (value.is_null()) return Status();
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
    const std::string dtype_name = dtype->get<std::string>();
    const std::optional<Stored> stored = parse_safetensors_dtype(dtype_name);
    if (!stored)
      return error(Code::kUnsupported, "dtype ", dtype_name.substr(0, 32), " is not known");
    std::vector<int64_t> dims;
    for (const Json& dim : *shape) {
      if (!dim.is_number_unsigned() || dim.get<uint64_t>() > kMaxElements)
        return error(Code::kDataLoss, "bad dimension ", dim.dump().substr(0, 32));
      dims.push_back(dim.get<int64_t>());
    }
    const size_t rank = dims.size();
    for (; dims.size() > kMaxRank; dims.pop_back())
      if (int64_t& to = dims[dims.size() - 2];
          __builtin_mul_overflow(to, dims.back(), &to) || to > static_cast<int64_t>(kMaxElements))
        return error(Code::kDataLoss, "more elements than any file has");
    ZT_ASSIGN_OR_RETURN(const int64_t elements, checked_elements(dims));
    const Entry entry{{stored->dtype.value_or(DType::kU8), Shape(std::span<const int64_t>(dims))},
                      (*offsets)[0].get<uint64_t>(),
                      (*offsets)[1].get<uint64_t>()};
    ZT_RETURN_IF_ERROR(check_range(entry, elements, stored->bits, dtype_name));
    if (stored->dtype && rank <= kMaxRank) {
      names_.push_back(name);
      tensors_.emplace(name, entry);
    } else {
      unreadable_.emplace(
          name, Unreadable{stored->dtype ? str("a tensor of ", rank, " dimensions; at most ",
                                               kMaxRank, " are read")
                                         : str("a tensor of ", dtype_name,
                                               ", which is not read; save it as F32, F16 or BF16"),
                           true});
    }
    return Status();
  }

  Status check_range(const Entry& entry, int64_t elements, int64_t bits,
                     const std::string& dtype_name) {
    const auto length = static_cast<uint64_t>(elements * bits);  // below 2^52
    if (entry.begin <= entry.end && entry.end > data_.size())
      return error(Code::kDataLoss, "ends at byte ", entry.end,
                   " of the data, but the file has only ", data_.size(),
                   " bytes of them; an interrupted download?");
    if (entry.begin > entry.end || length % 8 != 0 || entry.end - entry.begin != length / 8)
      return error(Code::kDataLoss, elements, " elements of ", dtype_name, " need ", length / 8,
                   " bytes; offsets are ", entry.begin, " to ", entry.end, " of ", data_.size());
    ranges_.emplace_back(entry.begin, entry.end);
    return Status();
  }

  // Every byte belongs to one tensor, as the format has it: what lies between them would be read by
  // nobody, or by somebody else.
  Status check_coverage() {
    std::sort(ranges_.begin(), ranges_.end());
    uint64_t covered = 0;
    const auto hole = [&](uint64_t until) {
      return error(Code::kDataLoss, "bytes ", covered, " to ", until, " of the data, of ",
                   data_.size(),
                   ", belong to no tensor: damaged, or made by a faulty program; save "
                   "it again with the safetensors package");
    };
    for (const auto& [begin, end] : ranges_) {
      if (begin < covered) return error(Code::kDataLoss, "tensors overlap at byte ", begin);
      if (begin > covered) return hole(begin);
      covered = end;
    }
    return covered == data_.size() ? Status() : hole(data_.size());
  }

  std::span<const uint8_t> data_;
  std::vector<std::pair<uint64_t, uint64_t>> ranges_;  // of data_, one a tensor
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> open_safetensors(const std::string& path) {
  return open_mapped<Safetensors>(path);
}

}  // namespace zoetrope
