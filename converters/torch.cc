#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>

#include "converters/mapped_checkpoint.h"
#include "converters/pickle.h"
#include "converters/zip.h"

namespace zoetrope {
namespace {

using Kind = PickleValue::Kind;

constexpr int kMaxNesting = 16;
constexpr int64_t kMaxVisits = 1 << 20;
constexpr size_t kMaxName = 512;

// Of a storage's class, or of a dtype's name.
std::optional<DType> torch_dtype(std::string_view type) {
  constexpr std::pair<const char*, DType> kTypes[] = {{"DoubleStorage", DType::kF64},
                                                      {"torch.float64", DType::kF64},
                                                      {"FloatStorage", DType::kF32},
                                                      {"torch.float32", DType::kF32},
                                                      {"HalfStorage", DType::kF16},
                                                      {"torch.float16", DType::kF16},
                                                      {"BFloat16Storage", DType::kBF16},
                                                      {"torch.bfloat16", DType::kBF16},
                                                      {"LongStorage", DType::kI64},
                                                      {"torch.int64", DType::kI64},
                                                      {"IntStorage", DType::kI32},
                                                      {"torch.int32", DType::kI32},
                                                      {"CharStorage", DType::kI8},
                                                      {"torch.int8", DType::kI8},
                                                      {"ByteStorage", DType::kU8},
                                                      {"torch.uint8", DType::kU8},
                                                      {"BoolStorage", DType::kBool},
                                                      {"torch.bool", DType::kBool},
                                                      {"torch.float8_e4m3fn", DType::kF8E4M3},
                                                      {"torch.float8_e5m2", DType::kF8E5M2}};
  for (const auto& [text, dtype] : kTypes)
    if (type == text) return dtype;
  return std::nullopt;
}

struct Entry {
  TensorType type;
  std::span<const uint8_t> data;  // from the first element to the storage's end
  std::vector<int64_t> strides;   // in elements; empty: row major
  const ZipEntry* storage = nullptr;
};

class TorchFile : public MappedCheckpoint<Entry> {
 public:
  Result<TensorType> type(std::string_view name) const override {
    ZT_RETURN_IF_ERROR(refuse_opaque(name));
    return MappedCheckpoint::type(name);
  }

  std::string remark() const override {
    if (opaque_.empty()) return "";
    const auto& [name, what] = *opaque_.begin();
    return str("'", name, "' is ", what);
  }

  Result<WeightData> load(std::string_view name) const override {
    ZT_RETURN_IF_ERROR(refuse_opaque(name));
    ZT_ASSIGN_OR_RETURN(const Entry* entry, find(name));
    if (Status status = check_storage(entry->storage); !status.ok())
      return status.with_context(str(file_.path(), ": tensor '", name, "'"));
    if (entry->strides.empty()) return mapped_view(entry->type, entry->data.data());
    return gather(*entry);
  }

 private:
  Status refuse_opaque(std::string_view name) const {
    const auto it = opaque_.find(name);
    if (it == opaque_.end()) return Status();
    return error(Code::kUnsupported, file_.path(), ": '", name, "' is ", it->second,
                 ", not a tensor; save a plain state dict");
  }

  // Once each, however many tensors look into it.
  Status check_storage(const ZipEntry* storage) const {
    const std::lock_guard lock(mutex_);
    if (checked_.contains(storage)) return Status();
    ZT_RETURN_IF_ERROR(storage->check());
    checked_.insert(storage);
    return Status();
  }

  Status parse() override {
    const auto bytes = file_.bytes();
    if (bytes.size() < 4 || std::memcmp(bytes.data(), "PK\3\4", 4) != 0)
      return error(Code::kUnsupported,
                   "not a PyTorch file of the ZIP kind; save it again with torch.save of PyTorch "
                   "1.6 or newer");
    ZT_ASSIGN_OR_RETURN(entries_, read_zip(bytes));
    // "<archive name>/data.pkl"; storages stand beside it in data/.
    std::string_view pickle_name;
    for (const auto& [name, entry] : entries_)
      if (name.ends_with("/data.pkl") && pickle_name.empty()) pickle_name = name;
    if (pickle_name.empty()) return error(Code::kDataLoss, "the archive holds no data.pkl");
    folder_ = pickle_name.substr(0, pickle_name.size() - std::strlen("data.pkl"));
    if (const auto order = entries_.find(folder_ + "byteorder");
        order != entries_.end() &&
        std::string_view("little") !=
            std::string_view(reinterpret_cast<const char*>(order->second.bytes.data()),
                             order->second.bytes.size()))
      return error(Code::kUnsupported, "the tensors are not little-endian");
    const ZipEntry& data = entries_.find(pickle_name)->second;
    ZT_RETURN_IF_ERROR(data.check().with_context("data.pkl"));
    ZT_ASSIGN_OR_RETURN(const Pickle pickle, Pickle::parse(data.bytes));
    int64_t visits = 0;
    ZT_RETURN_IF_ERROR(collect(pickle.root(), "", 0, &visits));
    if (tensors_.empty())
      return error(opaque_.empty() ? Code::kDataLoss : Code::kUnsupported, "holds no tensors",
                   opaque_.empty() ? "" : str(": ", remark(), "; save model.state_dict()"));
    for (const auto& [name, entry] : tensors_) names_.push_back(name);
    return Status();
  }

  // Tensors in nested dicts and lists are named by the path to them, joined with dots.
  Status collect(const PickleValue& value, const std::string& name, int depth, int64_t* visits) {
    if (++*visits > kMaxVisits || name.size() > kMaxName)
      return error(Code::kDataLoss, "the containers refer to one another too often");
    if (value.kind == Kind::kOpaque || value.kind == Kind::kGlobal) {
      const char* what = value.kind == Kind::kOpaque ? "an object of " : "the name ";
      opaque_.emplace(name.empty() ? "the whole" : name, what + value.text);
      return Status();
    }
    if (value.kind == Kind::kTensor) {
      Entry entry;
      const std::string& type = value.type.empty() ? value.items[0]->type : value.type;
      if (!torch_dtype(type)) {
        opaque_.emplace(name, "a tensor of " + type);
        return Status();
      }
      if (Status status = read_tensor(value, &entry); !status.ok())
        return status.with_context(str("tensor '", name, "'"));
      if (!tensors_.emplace(name, std::move(entry)).second)
        return error(Code::kDataLoss, "tensor '", name, "' appears twice");
      return Status();
    }
    const bool is_dict = value.kind == Kind::kDict;
    if (!is_dict && value.kind != Kind::kList && value.kind != Kind::kTuple) return Status();
    if (depth >= kMaxNesting) return error(Code::kDataLoss, "containers nest too deeply");
    if (std::find(path_.begin(), path_.end(), &value) != path_.end()) return Status();  // itself
    path_.push_back(&value);
    const std::string prefix = name.empty() ? "" : name + ".";
    for (size_t i = 0; i < value.items.size(); i += is_dict ? 2 : 1) {
      std::string key = std::to_string(i);
      if (is_dict && value.items[i]->kind == Kind::kText)
        key = value.items[i]->text.substr(0, kMaxName + 1);
      if (is_dict && value.items[i]->kind == Kind::kInt)
        key = std::to_string(value.items[i]->integer);
      ZT_RETURN_IF_ERROR(
          collect(*value.items[i + (is_dict ? 1 : 0)], prefix + key, depth + 1, visits));
    }
    path_.pop_back();
    return Status();
  }

  static Result<std::vector<int64_t>> read_integers(const PickleValue& tuple) {
    if (tuple.items.size() > kMaxRank)
      return error(Code::kUnsupported, tuple.items.size(), " dimensions; at most ", kMaxRank);
    std::vector<int64_t> numbers;
    for (const PickleValue* item : tuple.items) {
      if (item->kind != Kind::kInt || item->integer < 0)
        return error(Code::kDataLoss, "sizes and strides must be whole numbers from 0");
      numbers.push_back(item->integer);
    }
    return numbers;
  }

  Status read_tensor(const PickleValue& value, Entry* entry) const {
    const PickleValue& storage = *value.items[0];
    entry->type.dtype = *torch_dtype(value.type.empty() ? storage.type : value.type);
    ZT_ASSIGN_OR_RETURN(const auto sizes, read_integers(*value.items[1]));
    ZT_ASSIGN_OR_RETURN(const auto strides, read_integers(*value.items[2]));
    ZT_ASSIGN_OR_RETURN(const int64_t elements, checked_elements(sizes));
    if (strides.size() != sizes.size())
      return error(Code::kDataLoss, sizes.size(), " sizes but ", strides.size(), " strides");
    entry->type.shape = Shape(std::span<const int64_t>(sizes));
    const auto found = entries_.find(folder_ + "data/" + storage.text);
    if (found == entries_.end())
      return error(Code::kDataLoss, "the archive lacks storage '", storage.text, "'");
    const int64_t item = dtype_size(entry->type.dtype);
    const auto stored = static_cast<int64_t>(found->second.bytes.size()) / item;
    const int64_t promised =
        storage.type == "UntypedStorage" ? storage.integer / item : storage.integer;
    if (promised > stored)
      return error(Code::kDataLoss, "storage '", storage.text, "' should hold ", promised,
                   " elements but has ", stored);
    if (value.integer < 0 || value.integer > stored || elements > stored)
      return error(Code::kDataLoss, entry->type.to_string(), " does not fit its storage of ",
                   stored);
    entry->storage = &found->second;
    if (elements == 0) return Status();
    // The last element that the strides reach: sums of products of 63-bit numbers, so in 128 bits.
    __int128 last = value.integer;
    int64_t dense = 1;
    bool row_major = true;
    for (size_t i = sizes.size(); i-- > 0;) {
      last += static_cast<__int128>(sizes[i] - 1) * strides[i];
      if (sizes[i] != 1) row_major &= strides[i] == dense;
      dense *= sizes[i];
    }
    if (last >= stored)
      return error(Code::kDataLoss, entry->type.to_string(), " reaches beyond its storage of ",
                   stored, " elements");
    entry->data = found->second.bytes.subspan(static_cast<size_t>(value.integer * item));
    if (!row_major) entry->strides = strides;
    return Status();
  }

  static WeightData gather(const Entry& entry) {
    const Shape& shape = entry.type.shape;
    const int64_t item = dtype_size(entry.type.dtype);
    auto buffer = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(entry.type.bytes()));
    std::vector<int64_t> index(entry.strides.size(), 0);
    uint8_t* target = buffer->data();
    int64_t offset = 0;
    for (int64_t n = shape.elements(); n > 0; --n, target += item) {
      std::memcpy(target, entry.data.data() + offset * item, static_cast<size_t>(item));
      for (size_t i = index.size(); i-- > 0;) {
        offset += entry.strides[i];
        if (++index[i] < shape[static_cast<int>(i)]) break;
        offset -= entry.strides[i] * shape[static_cast<int>(i)];
        index[i] = 0;
      }
    }
    return WeightData{entry.type, buffer->data(), buffer};
  }

  ZipEntries entries_;
  std::string folder_;
  std::vector<const PickleValue*> path_;                    // containers around collect()'s value
  std::map<std::string, std::string, std::less<>> opaque_;  // what is no tensor, by its path
  mutable std::mutex mutex_;
  mutable std::set<const ZipEntry*> checked_;  // guarded by mutex_
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> open_torch(const std::string& path) {
  return open_mapped<TorchFile>(path);
}

}  // namespace zoetrope
