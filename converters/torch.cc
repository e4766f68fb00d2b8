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
constexpr int64_t kMaxRepeated = int64_t{1} << 30;  // bytes of a tensor larger than its storage

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

// Of storages of quantised tensors, whose numbers alone are no weights.
std::optional<DType> quantised_dtype(std::string_view storage) {
  if (storage == "QInt8Storage") return DType::kI8;
  if (storage == "QUInt8Storage") return DType::kU8;
  if (storage == "QInt32Storage") return DType::kI32;
  return std::nullopt;
}

// What rebuilds tensors that are not numbers in a storage, and what the person can do.
constexpr std::pair<std::string_view, std::string_view> kOtherTensors[] = {
    {"torch._utils._rebuild_sparse_tensor", "a sparse tensor; save it as to_dense() makes it"},
    {"torch._utils._rebuild_sparse_csr_tensor", "a sparse tensor; save it as to_dense() makes it"},
    {"torch._utils._rebuild_nested_tensor", "a nested tensor; save its parts"},
    {"torch._utils._rebuild_meta_tensor_no_storage",
     "a tensor of the meta device, which has no values; save the model after it has loaded them"},
    {"torch._utils._rebuild_wrapper_subclass",
     "a tensor of a class of its own; save it as a plain one"},
    {"torch._utils._rebuild_device_tensor_from_numpy",
     "a tensor of another device; save it as cpu() makes it"},
    {"torch._utils._rebuild_device_tensor_from_cpu_tensor",
     "a tensor of another device; save it as cpu() makes it"},
    {"torch._utils._rebuild_tensor_v2 with neg",
     "a tensor whose sign is left to its reader; save it as resolve_neg() makes it"},
    {"torch._utils._rebuild_tensor_v2 with conj",
     "a tensor of complex numbers, which no model here has; save its real and imaginary parts"},
};

Unreadable describe(const PickleValue& value) {
  for (const auto& [callable, what] : kOtherTensors)
    if (value.text == callable) return {std::string(what), true};
  for (const char* array : {"multiarray._reconstruct", "numeric._frombuffer"})
    if (value.text.starts_with("numpy.") && value.text.ends_with(array))
      return {"a NumPy array; save it as torch.from_numpy() makes it"};
  return {str(value.kind == Kind::kOpaque ? "an object of " : "the name ", value.text,
              ", not a tensor; save a plain state dict, model.state_dict()")};
}

struct Entry {
  TensorType type;
  std::span<const uint8_t> data;  // from the first element to the storage's end
  std::vector<int64_t> strides;   // in elements; empty: row major
  const ZipEntry* storage = nullptr;
  // Of a quantised tensor, whose type is f32: number q stands for scale * (q - zero).
  std::optional<DType> quantised;
  float scale = 1;
  int32_t zero = 0;

  DType stored() const { return quantised.value_or(type.dtype); }
};

class TorchFile : public MappedCheckpoint<Entry> {
 public:
  Result<WeightData> load(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const Entry* entry, find(name));
    if (Status status = check_storage(entry->storage); !status.ok())
      return status.with_context(str(file_.path(), ": tensor '", name, "'"));
    if (entry->quantised) return dequantise(*entry);
    if (entry->strides.empty()) return mapped_view(entry->type, entry->data.data());
    return gather(*entry);
  }

 private:
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
      return error(unreadable_.empty() ? Code::kDataLoss : Code::kUnsupported, "holds no tensors",
                   unreadable_.empty() ? "" : ": " + remark());
    for (const auto& [name, entry] : tensors_) names_.push_back(name);
    return Status();
  }

  // Tensors in nested dicts and lists are named by the path to them, joined with dots.
  Status collect(const PickleValue& value, const std::string& name, int depth, int64_t* visits) {
    if (++*visits > kMaxVisits || name.size() > kMaxName)
      return error(Code::kDataLoss, "the containers refer to one another too often");
    const std::string path = name.empty() ? "the whole" : name;
    if (value.kind == Kind::kOpaque || value.kind == Kind::kGlobal)
      unreadable_.emplace(path, describe(value));
    if (value.kind == Kind::kStorage)
      unreadable_.emplace(path, Unreadable{"a storage without a shape; save the tensor itself"});
    if (value.kind == Kind::kTensor) return collect_tensor(value, name);
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

  Status collect_tensor(const PickleValue& value, const std::string& name) {
    Entry entry;
    Status status = read_tensor(value, &entry);
    if (status.code() == Code::kUnsupported) {
      unreadable_.emplace(name, Unreadable{status.message(), true});
      return Status();
    }
    if (!status.ok()) return status.with_context(str("tensor '", name, "'"));
    if (!tensors_.emplace(name, std::move(entry)).second)
      return error(Code::kDataLoss, "tensor '", name, "' appears twice");
    return Status();
  }

  static Result<std::vector<int64_t>> read_integers(const PickleValue& tuple) {
    if (tuple.items.size() > kMaxRank)
      return error(Code::kUnsupported, "a tensor of ", tuple.items.size(), " dimensions; at most ",
                   kMaxRank, " are read");
    std::vector<int64_t> numbers;
    for (const PickleValue* item : tuple.items) {
      if (item->kind != Kind::kInt || item->integer < 0)
        return error(Code::kDataLoss, "sizes and strides must be whole numbers from 0");
      numbers.push_back(item->integer);
    }
    return numbers;
  }

  // kUnsupported, with what the tensor is, where no weight is of its kind.
  static Status read_dtype(const PickleValue& value, Entry* entry) {
    const std::string& type = value.type.empty() ? value.items[0]->type : value.type;
    if (value.items.size() > 3) {
      const auto& scheme = value.items[3]->items;
      entry->quantised = quantised_dtype(type);
      if (!entry->quantised || scheme.size() != 3 || scheme[0]->text != "torch.per_tensor_affine" ||
          scheme[1]->kind != Kind::kFloat || scheme[2]->kind != Kind::kInt ||
          scheme[2]->integer != static_cast<int32_t>(scheme[2]->integer))
        return error(Code::kUnsupported,
                     "a quantised tensor of a kind that is not read; save it as dequantize() makes "
                     "it");
      entry->type.dtype = DType::kF32;
      entry->scale = static_cast<float>(scheme[1]->number);
      entry->zero = static_cast<int32_t>(scheme[2]->integer);
      return Status();
    }
    const std::optional<DType> dtype = torch_dtype(type);
    if (!dtype && type.find("omplex") != std::string::npos)
      return error(Code::kUnsupported, "a tensor of complex numbers (", type,
                   "), which no model here has; save its real and imaginary parts");
    if (!dtype)
      return error(Code::kUnsupported, "a tensor of ", type,
                   ", which is not read; save it as float() makes it");
    entry->type.dtype = *dtype;
    return Status();
  }

  Status read_tensor(const PickleValue& value, Entry* entry) const {
    const PickleValue& storage = *value.items[0];
    ZT_RETURN_IF_ERROR(read_dtype(value, entry));
    ZT_ASSIGN_OR_RETURN(const auto sizes, read_integers(*value.items[1]));
    ZT_ASSIGN_OR_RETURN(const auto strides, read_integers(*value.items[2]));
    ZT_ASSIGN_OR_RETURN(const int64_t elements, checked_elements(sizes));
    if (strides.size() != sizes.size())
      return error(Code::kDataLoss, sizes.size(), " sizes but ", strides.size(), " strides");
    entry->type.shape = Shape(std::span<const int64_t>(sizes));
    const auto found = entries_.find(folder_ + "data/" + storage.text);
    if (found == entries_.end())
      return error(Code::kDataLoss, "the archive lacks storage '", storage.text, "'");
    const int64_t item = dtype_size(entry->stored());
    const auto stored = static_cast<int64_t>(found->second.bytes.size()) / item;
    const int64_t promised =
        storage.type == "UntypedStorage" ? storage.integer / item : storage.integer;
    if (promised > stored)
      return error(Code::kDataLoss, "storage '", storage.text, "' should hold ", promised,
                   " elements but has ", stored);
    if (value.integer < 0 || value.integer > stored)
      return error(Code::kDataLoss, entry->type.to_string(), " does not fit its storage of ",
                   stored);
    // Strides of 0, as expand() makes them, show elements of the storage more than once.
    if (elements > stored && elements > kMaxRepeated / dtype_size(entry->type.dtype))
      return error(Code::kUnsupported, "a tensor of ", elements, " elements made of ", stored,
                   "; save it as contiguous() makes it");
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
    if (row_major) return Status();
    entry->strides = strides;
    // Any number stands where nothing is stepped over.
    for (size_t i = 0; i < sizes.size(); ++i)
      if (sizes[i] == 1) entry->strides[i] = 0;
    return Status();
  }

  // As PyTorch's dequantize(): in f32.
  static WeightData dequantise(const Entry& entry) {
    const WeightData numbers =
        entry.strides.empty() ? WeightData{entry.type, entry.data.data(), nullptr} : gather(entry);
    const int64_t count = entry.type.shape.elements();
    auto buffer = std::make_shared<std::vector<float>>(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const auto q = static_cast<int64_t>(load_element(*entry.quantised, numbers.data, i));
      (*buffer)[static_cast<size_t>(i)] = entry.scale * static_cast<float>(q - entry.zero);
    }
    return WeightData{entry.type, buffer->data(), buffer};
  }

  // The elements as they are stored, in row-major order.
  static WeightData gather(const Entry& entry) {
    const Shape& shape = entry.type.shape;
    const int64_t item = dtype_size(entry.stored());
    auto buffer =
        std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(shape.elements() * item));
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
  std::vector<const PickleValue*> path_;  // containers around collect()'s value
  mutable std::mutex mutex_;
  mutable std::set<const ZipEntry*> checked_;  // guarded by mutex_
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> open_torch(const std::string& path) {
  return open_mapped<TorchFile>(path);
}

}  // namespace zoetrope
