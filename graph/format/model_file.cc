#include "graph/format/model_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "graph/format/encode.h"
#include "graph/format/hash.h"
#include "graph/host.h"

namespace zoetrope {
namespace {

uint64_t read_le(const uint8_t* bytes, int count) {
  uint64_t value = 0;
  for (int i = count - 1; i >= 0; --i) value = value << 8 | bytes[i];
  return value;
}

bool has_non_finite(const TensorType& type, const uint8_t* data) {
  const int64_t n = type.shape.elements();
  if (type.dtype == DType::kF32) {
    for (int64_t i = 0; i < n; ++i) {
      float x;
      std::memcpy(&x, data + i * 4, 4);
      if (!std::isfinite(x)) return true;
    }
    return false;
  }
  if (type.dtype == DType::kF16 || type.dtype == DType::kBF16) {
    const uint16_t exponent = type.dtype == DType::kF16 ? 0x7c00 : 0x7f80;
    for (int64_t i = 0; i < n; ++i) {
      uint16_t x;
      std::memcpy(&x, data + i * 2, 2);
      if ((x & exponent) == exponent) return true;
    }
    return false;
  }
  if (!is_float(type.dtype)) return false;
  for (int64_t i = 0; i < n; ++i)
    if (!std::isfinite(load_element(type.dtype, data, i))) return true;
  return false;
}

}  // namespace

Result<std::unique_ptr<ModelFile>> ModelFile::open(const std::string& path) {
  std::unique_ptr<ModelFile> model(new ModelFile());
  ZT_ASSIGN_OR_RETURN(model->file_, MappedFile::open(path));
  if (Status status = model->parse(); !status.ok()) return status.with_context(path);
  return model;
}

Status ModelFile::parse() {
  const std::span<const uint8_t> bytes = file_.bytes();
  if (bytes.size() < kModelHeaderBytes ||
      std::memcmp(bytes.data(), kModelMagic, sizeof(kModelMagic)) != 0)
    return error(Code::kDataLoss, "not a .zoe model file");
  const uint64_t version = read_le(bytes.data() + 8, 4);
  if (version != kModelVersion)
    return error(Code::kUnsupported, "format version ", version, "; this program reads version ",
                 kModelVersion);
  const uint64_t total = read_le(bytes.data() + 16, 8);
  const uint64_t root_length = read_le(bytes.data() + 24, 8);
  root_hash_ = read_le(bytes.data() + 32, 8);
  if (total != bytes.size())
    return error(Code::kDataLoss, "the file has ", bytes.size(), " bytes; its header says ", total,
                 total > bytes.size() ? " (cut short?)" : "");
  if (root_length > bytes.size() - kModelHeaderBytes)
    return error(Code::kDataLoss, "the root reaches beyond the file");
  const auto root = bytes.subspan(kModelHeaderBytes, root_length);
  if (hash_bytes(root) != root_hash_)
    return error(Code::kDataLoss, "the root is damaged: its hash does not match");
  return decode_root(root, static_cast<int64_t>(bytes.size()), &info_, &tensors_);
}

const TensorEntry* ModelFile::find_tensor(std::string_view name) const {
  const auto at =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const TensorEntry& t, std::string_view n) { return t.name < n; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

Status ModelFile::verify_tensors(bool finite) const {
  for (const TensorEntry& t : tensors_) {
    if (t.synthetic) continue;
    const auto data =
        file_.bytes().subspan(static_cast<size_t>(t.offset), static_cast<size_t>(t.length));
    if (hash_bytes(data) != t.hash)
      return error(Code::kDataLoss, path(), ": tensor '", t.name,
                   "' is damaged: its hash does not match");
    if (finite && has_non_finite(t.type, data.data()))
      return error(Code::kDataLoss, path(), ": tensor '", t.name, "' holds NaN or infinity");
  }
  return Status();
}

Result<TensorType> ModelFile::type(std::string_view name) const {
  const TensorEntry* entry = find_tensor(name);
  if (entry == nullptr) return error(Code::kNotFound, path(), " has no tensor '", name, "'");
  return entry->type;
}

int64_t ModelFile::made_bytes(std::string_view name) const {
  const TensorEntry* entry = find_tensor(name);
  return entry != nullptr && entry->synthetic ? entry->type.bytes() : 0;
}

int64_t ModelFile::absent_bytes(const TensorEntry& tensor) const {
  return absent_bytes(tensor, 0, tensor.length);
}

int64_t ModelFile::absent_bytes(const TensorEntry& tensor, int64_t begin, int64_t length) const {
  if (tensor.synthetic) return 0;
  return file_.absent_bytes(tensor.offset + begin, std::min(length, tensor.length - begin));
}

Result<WeightData> ModelFile::load(std::string_view name) const {
  const TensorEntry* entry = find_tensor(name);
  if (entry == nullptr) return error(Code::kNotFound, path(), " has no tensor '", name, "'");
  if (!entry->synthetic)
    return WeightData{entry->type, file_.bytes().data() + entry->offset, nullptr};
  const auto bytes = static_cast<size_t>(entry->type.bytes());
  std::shared_ptr<uint8_t[]> data(new (std::nothrow) uint8_t[std::max<size_t>(bytes, 1)]);
  if (!data)
    return error(Code::kResourceExhausted, "no memory for ", bytes, " bytes of tensor '", name,
                 "'");
  // Asking how many threads there are takes longer than a small tensor.
  const bool large = synthetic_threads(entry->type, 2) > 1;
  generate_synthetic(*entry->synthetic, entry->type, data.get(), large ? usable_threads() : 1);
  return WeightData{entry->type, data.get(), data};
}

}  // namespace zoetrope
