// GGUF, versions 2 and 3: key-value pairs, a table of tensors, then their bytes.
#include <algorithm>
#include <cstring>

#include "converters/gguf_blocks.h"
#include "converters/mapped_checkpoint.h"
#include "graph/parallel_rows.h"

namespace zoetrope {
namespace {

constexpr uint64_t kMostPairs = 1 << 16, kMostTensors = 1 << 18, kMostName = 1 << 16;
constexpr uint64_t kMostArray = 1 << 26;  // vocabularies are long
constexpr std::string_view kOriginalShape = "comfy.gguf.orig_shape.";

enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

// Bytes of a scalar; 0: it is none.
uint64_t scalar_bytes(uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool: return 1;
    case kU16:
    case kI16: return 2;
    case kU32:
    case kI32:
    case kF32: return 4;
    case kU64:
    case kI64:
    case kF64: return 8;
    default: return 0;
  }
}

// Walks the header; after the first problem every read gives nothing.
class Cursor {
 public:
  explicit Cursor(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  template <typename T>
  T number() {
    T value{};
    if (const uint8_t* from = take(sizeof(T))) std::memcpy(&value, from, sizeof(T));
    return value;
  }
  std::string text() {
    const auto length = number<uint64_t>();
    if (length > kMostArray) fail("a string of ", length, " bytes");
    const uint8_t* from = take(length);
    return from == nullptr ? "" : std::string(reinterpret_cast<const char*>(from), length);
  }
  const uint8_t* take(uint64_t count) {
    if (!status_.ok()) return nullptr;
    if (count > bytes_.size() - at_) {
      fail("the file ends at byte ", bytes_.size(),
           ", in the middle of its GGUF header; an "
           "interrupted download?");
      return nullptr;
    }
    const uint8_t* from = bytes_.data() + at_;
    at_ += count;
    return from;
  }
  template <typename... T>
  void fail(const T&... what) {
    if (status_.ok()) status_ = error(Code::kDataLoss, what...);
  }
  const Status& status() const { return status_; }
  uint64_t at() const { return at_; }

 private:
  std::span<const uint8_t> bytes_;
  uint64_t at_ = 0;
  Status status_;
};

struct Entry {
  TensorType type;                   // as load() gives it
  const GgmlBlock* block = nullptr;  // null: plain elements
  uint64_t begin = 0;                // of the file
};

class Gguf : public MappedCheckpoint<Entry> {
 public:
  std::string remark() const override {
    const auto it = metadata_.find("general.architecture");
    return it == metadata_.end() ? "" : str("GGUF's architecture '", it->second, "'");
  }

  Result<WeightData> load(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const Entry* entry, find(name));
    const uint8_t* from = file_.bytes().data() + entry->begin;
    if (entry->block == nullptr) return WeightData{entry->type, from, nullptr};
    auto numbers =
        std::make_shared<std::vector<float>>(static_cast<size_t>(entry->type.shape.elements()));
    decode(*entry, [&](const Decoded& d) {
      const GgmlBlock& b = *entry->block;
      float* to = numbers->data() + d.index * b.elements;
      for (int64_t i = 0; i < b.elements; ++i) {
        to[i] = d.scale[i / b.group] * static_cast<float>(d.q[i]);
        if (b.offset) to[i] += d.offset[i / b.group];
      }
    });
    return WeightData{entry->type, numbers->data(), numbers};
  }

  std::optional<EncodedLayout> encoded(std::string_view name) const override {
    const auto entry = find(name);
    if (!entry.ok() || (*entry)->block == nullptr) return std::nullopt;
    const GgmlBlock& b = *(*entry)->block;
    const Shape& shape = (*entry)->type.shape;
    if (shape.rank() < 2 || shape[0] == 0 || shape.elements() / shape[0] % b.elements != 0)
      return std::nullopt;
    return EncodedLayout{b.narrow ? 4 : 8, b.group, b.scale, b.offset};
  }

  Result<WeightData> load_part(std::string_view name, EncodedPart part) const override {
    ZT_ASSIGN_OR_RETURN(const Entry* entry, find(name));
    if (!encoded(name)) return error(Code::kUnsupported, "tensor '", name, "' has no parts");
    const GgmlBlock& b = *entry->block;
    if (part == EncodedPart::kOffset && !b.offset)
      return error(Code::kUnsupported, "tensor '", name, "' has no offsets");
    const int64_t rows = entry->type.shape[0], columns = entry->type.shape.elements() / rows;
    const bool values = part == EncodedPart::kValues;
    const TensorType type = values ? TensorType{b.narrow ? DType::kU8 : DType::kI8,
                                                {rows, b.narrow ? columns / 2 : columns}}
                                   : TensorType{b.scale, {rows, columns / b.group}};
    auto bytes = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(type.bytes()));
    const int64_t groups = b.elements / b.group, size = dtype_size(b.scale);
    decode(*entry, [&](const Decoded& d) {
      if (!values) {
        const float* from = part == EncodedPart::kScale ? d.scale : d.offset;
        for (int64_t g = 0; g < groups; ++g)
          store_element(b.scale, bytes->data() + (d.index * groups + g) * size, 0, from[g]);
        return;
      }
      const int bias = b.narrow && !b.offset ? 8 : 0;
      for (int64_t i = 0; i < b.elements; i += b.narrow ? 2 : 1) {
        if (b.narrow)
          (*bytes)[static_cast<size_t>((d.index * b.elements + i) / 2)] =
              static_cast<uint8_t>((d.q[i] + bias) | (d.q[i + 1] + bias) << 4);
        else
          (*bytes)[static_cast<size_t>(d.index * b.elements + i)] = static_cast<uint8_t>(d.q[i]);
      }
    });
    return WeightData{type, bytes->data(), bytes};
  }

 private:
  struct Decoded {
    int64_t index;  // of the block
    int8_t q[256];
    float scale[16], offset[16];
  };

  template <typename F>
  void decode(const Entry& entry, const F& take) const {
    const GgmlBlock& b = *entry.block;
    const uint8_t* from = file_.bytes().data() + entry.begin;
    const int64_t blocks = entry.type.shape.elements() / b.elements;
    for_rows(blocks, row_parts(blocks, 4096), [&](int64_t, int64_t begin, int64_t end) {
      Decoded d;
      for (d.index = begin; d.index < end; ++d.index) {
        b.decode(from + d.index * b.bytes, d.q, d.scale, d.offset);
        take(d);
      }
    });
  }

  Status parse() override {
    Cursor in(file_.bytes());
    if (in.number<uint32_t>() != 0x46554747)  // "GGUF"
      return error(Code::kDataLoss, "not a GGUF file");
    const auto version = in.number<uint32_t>();
    if (in.status().ok() && version != 2 && version != 3)
      return error(Code::kUnsupported, "GGUF version ", version,
                   version == 1         ? " is read no more"
                   : version >= 1 << 24 ? ": big-endian files are not read"
                                        : "",
                   "; known: 2 and 3");
    const auto tensors = in.number<uint64_t>(), pairs = in.number<uint64_t>();
    if (tensors > kMostTensors || pairs > kMostPairs)
      return error(Code::kDataLoss, "states ", tensors, " tensors and ", pairs, " pairs");
    if (in.status().ok() && tensors == 0)
      return error(
          Code::kDataLoss,
          "a GGUF file that holds no tensors: a download that broke off, or a vocabulary alone");
    for (uint64_t i = 0; i < pairs && in.status().ok(); ++i) read_pair(&in);
    std::vector<std::pair<std::string, uint64_t>> places;
    for (uint64_t i = 0; i < tensors && in.status().ok(); ++i)
      ZT_RETURN_IF_ERROR(read_tensor(&in, &places));
    ZT_RETURN_IF_ERROR(in.status());
    return place_tensors(in.at(), places);
  }

  void read_pair(Cursor* in) {
    const std::string key = in->text();
    const auto type = in->number<uint32_t>();
    if (type != kArray) {
      std::string value = scalar(in, type);
      if (in->status().ok() && !metadata_.emplace(key, std::move(value)).second)
        in->fail("key '", key.substr(0, 200), "' appears twice");
      return;
    }
    const auto inner = in->number<uint32_t>();
    const auto length = in->number<uint64_t>();
    if (length > kMostArray) return in->fail("an array of ", length, " elements");
    // Arrays of numbers that are short are kept, joined with commas; vocabularies are passed over.
    const bool kept = length <= 16 && inner != kString;
    if (!kept && inner != kString) {
      if (scalar_bytes(inner) == 0) return in->fail("an array of type ", inner);
      in->take(length * scalar_bytes(inner));
      return;
    }
    std::string list;
    for (uint64_t i = 0; i < length && in->status().ok(); ++i) {
      const std::string value = scalar(in, inner);
      if (kept) list += (i > 0 ? "," : "") + value;
    }
    if (kept && in->status().ok()) metadata_.emplace(key, std::move(list));
  }

  static std::string scalar(Cursor* in, uint32_t type) {
    switch (type) {
      case kU8: return str(int{in->number<uint8_t>()});
      case kI8: return str(int{in->number<int8_t>()});
      case kU16: return str(in->number<uint16_t>());
      case kI16: return str(in->number<int16_t>());
      case kU32: return str(in->number<uint32_t>());
      case kI32: return str(in->number<int32_t>());
      case kF32: return str(in->number<float>());
      case kBool: return in->number<uint8_t>() != 0 ? "true" : "false";
      case kString: return in->text();
      case kU64: return str(in->number<uint64_t>());
      case kI64: return str(in->number<int64_t>());
      case kF64: return str(in->number<double>());
      default: in->fail("a value of type ", type); return "";
    }
  }

  // ComfyUI stores tensors of more than four dimensions flat, and beside them their shape.
  Result<Shape> shape_of(const std::string& name, const std::vector<int64_t>& dims) const {
    ZT_ASSIGN_OR_RETURN(const int64_t elements, checked_elements(dims));
    const auto it = metadata_.find(std::string(kOriginalShape) + name);
    if (it == metadata_.end()) return Shape(std::span<const int64_t>(dims));
    std::vector<int64_t> original;
    for (size_t at = 0; at <= it->second.size();) {
      const size_t end = std::min(it->second.find(',', at), it->second.size());
      int64_t value = -1;
      const char* first = it->second.data() + at;
      const char* last = it->second.data() + end;
      for (const char* c = first; c < last; ++c) {
        if (*c < '0' || *c > '9' || c - first > 12)
          return error(Code::kDataLoss, "its original shape is '", it->second, "'");
        value = (c == first ? 0 : value) * 10 + (*c - '0');
      }
      original.push_back(value);
      at = end + 1;
    }
    if (original.size() > kMaxRank)
      return error(Code::kDataLoss, "its original shape has ", original.size(), " dimensions");
    ZT_ASSIGN_OR_RETURN(const int64_t expected, checked_elements(original));
    if (expected != elements)
      return error(Code::kDataLoss, "has ", elements, " elements; its original shape '", it->second,
                   "' has ", expected);
    return Shape(std::span<const int64_t>(original));
  }

  Status read_tensor(Cursor* in, std::vector<std::pair<std::string, uint64_t>>* places) {
    const std::string name = in->text();
    const auto rank = in->number<uint32_t>();
    if (in->status().ok() && (name.empty() || name.size() > kMostName || rank > kMaxRank))
      return error(Code::kDataLoss, "tensor '", name.substr(0, 200), "' with ", rank,
                   " dimensions");
    std::vector<int64_t> dims;
    for (uint32_t i = 0; i < rank; ++i) {
      const auto extent = in->number<uint64_t>();
      if (extent > (uint64_t{1} << 46))
        return error(Code::kDataLoss, "tensor '", name.substr(0, 200), "': a dimension of ",
                     extent);
      dims.insert(dims.begin(), static_cast<int64_t>(extent));  // the last one lies innermost
    }
    const auto type = in->number<uint32_t>();
    const auto offset = in->number<uint64_t>();
    ZT_RETURN_IF_ERROR(in->status());
    const auto where = [&](const Status& status) {
      return status.with_context(str("tensor '", name.substr(0, 200), "'"));
    };
    Entry entry;
    auto shape = shape_of(name, dims);
    if (!shape.ok()) return where(shape.status());
    entry.type.shape = *shape;
    entry.block = find_ggml_block(type);
    if (entry.block != nullptr) {
      entry.type.dtype = DType::kF32;
      if (dims.empty() || dims.back() % entry.block->elements != 0)
        return where(error(Code::kDataLoss, "has rows of ", dims.empty() ? 1 : dims.back(), "; ",
                           entry.block->name, " needs multiples of ", entry.block->elements));
    } else if (const auto dtype = ggml_dtype(type)) {
      entry.type.dtype = *dtype;
    } else {
      return where(error(Code::kUnsupported, "is ", ggml_type_name(type), " (", type,
                         "); read are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K "
                         "and IQ4_NL"));
    }
    if (!tensors_.emplace(name, entry).second)
      return where(error(Code::kDataLoss, "appears twice"));
    names_.push_back(name);
    places->emplace_back(name, offset);
    return Status();
  }

  Status place_tensors(uint64_t header_end,
                       const std::vector<std::pair<std::string, uint64_t>>& places) {
    uint64_t alignment = 32;
    if (const auto it = metadata_.find("general.alignment"); it != metadata_.end()) {
      alignment = 0;
      for (const char c : it->second)
        if (c >= '0' && c <= '9' && alignment < (1 << 20))
          alignment = alignment * 10 + static_cast<uint64_t>(c - '0');
      if (alignment == 0 || alignment > (1 << 20) || (alignment & (alignment - 1)) != 0)
        return error(Code::kDataLoss, "an alignment of ", it->second);
    }
    const uint64_t size = file_.bytes().size();
    const uint64_t data = (header_end + alignment - 1) / alignment * alignment;
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (const auto& [name, offset] : places) {
      Entry& entry = tensors_.at(name);
      const auto elements = static_cast<uint64_t>(entry.type.shape.elements());
      const uint64_t bytes = entry.block
                                 ? elements / static_cast<uint64_t>(entry.block->elements) *
                                       static_cast<uint64_t>(entry.block->bytes)
                                 : elements * static_cast<uint64_t>(dtype_size(entry.type.dtype));
      if (offset % alignment != 0 || data > size || offset > size - data ||
          bytes > size - data - offset)
        return error(Code::kDataLoss, "tensor '", name.substr(0, 200), "' takes ", bytes,
                     " bytes from ", offset, " of the data on, but the file has only ",
                     data > size ? 0 : size - data, " bytes of them; an interrupted download?");
      entry.begin = data + offset;
      if (bytes > 0) ranges.emplace_back(entry.begin, entry.begin + bytes);
    }
    std::sort(names_.begin(), names_.end());
    std::sort(ranges.begin(), ranges.end());
    for (size_t i = 1; i < ranges.size(); ++i)
      if (ranges[i].first < ranges[i - 1].second)
        return error(Code::kDataLoss, "tensors overlap at byte ", ranges[i].first);
    return Status();
  }
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> open_gguf(const std::string& path) {
  return open_mapped<Gguf>(path);
}

}  // namespace zoetrope
