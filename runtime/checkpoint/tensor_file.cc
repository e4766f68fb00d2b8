#include "runtime/checkpoint/tensor_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "graph/format/hash.h"
#include "graph/format/output_file.h"
#include "graph/format/safetensors.h"
#include "graph/json_reader.h"
#include "graph/json_writer.h"

namespace zoetrope {
namespace {

constexpr int64_t kFormat = 1;
constexpr size_t kMaxHeader = 16 << 20;  // bytes
constexpr size_t kMaxTensors = 4096;
constexpr int64_t kMaxDim = int64_t{1} << 46;

struct TensorRecord {
  std::string name, dtype, hash;
  std::vector<int64_t> shape;
};

// All that the header follows from.
struct Description {
  std::string kind;
  int64_t format = kFormat;
  nlohmann::json about = nlohmann::json::object();
  std::vector<TensorRecord> tensors;
};

template <typename V>
void fields(V& v, TensorRecord& t) {
  v.name("name", &t.name);
  v.name("dtype", &t.dtype);
  v.integers_up_to("shape", &t.shape, kMaxRank, 0, kMaxDim);
  v.name("hash", &t.hash);
  v.require(is_digest(t.hash), "hash", "\"xxh3:\" and 16 hexadecimal digits");
}

template <typename V>
void fields(V& v, Description& d) {
  v.name("kind", &d.kind);
  v.integer("format", &d.format, 1, 1 << 20);
  v.part("about", &d.about);
  v.objects("tensors", &d.tensors, kMaxTensors);
}

std::string digest_of(std::string_view text) {
  return digest_text(hash_bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
}

using NamedTypes = std::vector<std::pair<std::string, TensorType>>;

Result<std::string> beginning_of(const std::string& description, const NamedTypes& types) {
  return safetensors_beginning(types,
                               {{"zoetrope", description}, {"hash", digest_of(description)}});
}

Status damaged(const std::string& what) { return Status(Code::kDataLoss, what); }

// The description in the header of a file, if it is the one that was written.
Result<std::string> find_description(std::span<const uint8_t> bytes) {
  uint64_t length = 0;
  if (bytes.size() >= 8)
    for (int i = 7; i >= 0; --i) length = length << 8 | bytes[static_cast<size_t>(i)];
  if (bytes.size() < 8 || length > kMaxHeader || length > bytes.size() - 8)
    return damaged("damaged, or no file of a checkpoint: its header is not whole");
  const char* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  const auto json = nlohmann::json::parse(text, text + length, nullptr, false);
  const auto metadata = json.is_object() ? json.find("__metadata__") : json.end();
  if (metadata == json.end() || !metadata->is_object())
    return damaged("damaged, or no file of a checkpoint: it has no description");
  const auto described = metadata->find("zoetrope"), hash = metadata->find("hash");
  if (described == metadata->end() || !described->is_string() || hash == metadata->end() ||
      !hash->is_string())
    return damaged("no file of a checkpoint: it has no description");
  if (hash->get<std::string>() != digest_of(described->get<std::string>()))
    return damaged("damaged: the hash of its description does not match");
  return described->get<std::string>();
}

Result<NamedTypes> types_of(const Description& d) {
  NamedTypes types;
  for (const TensorRecord& t : d.tensors) {
    TensorType type;
    ZT_ASSIGN_OR_RETURN(type.dtype, parse_dtype(t.dtype));
    ZT_RETURN_IF_ERROR(checked_elements(t.shape).status());
    type.shape = Shape(std::span<const int64_t>(t.shape));
    types.emplace_back(t.name, type);
  }
  return types;
}

Status parse(std::string_view kind, TensorFile* out) {
  const std::span<const uint8_t> bytes = out->file.bytes();
  ZT_ASSIGN_OR_RETURN(const std::string text, find_description(bytes));
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return damaged("its description is not JSON");
  Description d;
  JsonReader reader(json, "description");
  fields(reader, d);
  ZT_RETURN_IF_ERROR(reader.finish());
  if (d.format != kFormat)
    return error(Code::kUnsupported, "checkpoint format ", d.format, "; this program reads ",
                 kFormat);
  if (d.kind != kind) return damaged(str("this is a file of ", d.kind, ", not of ", kind));
  ZT_ASSIGN_OR_RETURN(const NamedTypes types, types_of(d));
  ZT_ASSIGN_OR_RETURN(const std::string beginning, beginning_of(text, types));
  if (bytes.size() < beginning.size() ||
      std::memcmp(bytes.data(), beginning.data(), beginning.size()) != 0)
    return damaged("damaged: its header is not what its description says");
  uint64_t total = beginning.size();
  for (const auto& [name, type] : types) total += static_cast<uint64_t>(type.bytes());
  if (total != bytes.size())
    return damaged(str("damaged, or cut short: it has ", bytes.size(), " bytes; expected ", total));
  size_t at = beginning.size();
  for (size_t i = 0; i < types.size(); ++i) {
    const auto& [name, type] = types[i];
    const auto data = bytes.subspan(at, static_cast<size_t>(type.bytes()));
    if (digest_text(hash_bytes(data)) != d.tensors[i].hash)
      return damaged(str("damaged: the hash of '", name, "' does not match"));
    out->tensors.push_back({name, type, data});
    at += data.size();
  }
  out->about = std::move(d.about);
  return Status();
}

}  // namespace

Status check_regular(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return error(Code::kNotFound, path, " is not there");
    return io_error(errno, "cannot read", path);
  }
  if (S_ISREG(info.st_mode)) return Status();
  return error(Code::kDataLoss, path,
               " is a link, a folder, a pipe or a device; a checkpoint has regular files alone");
}

Status write_tensor_file(const std::string& path, std::string_view kind,
                         const nlohmann::json& about, std::span<const TensorView> tensors) {
  if (const Status there = check_regular(path); !there.ok() && there.code() != Code::kNotFound)
    return there;
  Description d;
  d.kind = kind;
  d.about = about;
  NamedTypes types;
  for (const TensorView& t : tensors) {
    ZT_CHECK(static_cast<int64_t>(t.bytes.size()) == t.type.bytes());
    d.tensors.push_back({t.name,
                         std::string(dtype_name(t.type.dtype)),
                         digest_text(hash_bytes(t.bytes)),
                         {t.type.shape.begin(), t.type.shape.end()}});
    types.emplace_back(t.name, t.type);
  }
  JsonWriter writer;
  fields(writer, d);
  const std::string text =
      writer.json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  ZT_ASSIGN_OR_RETURN(const std::string beginning, beginning_of(text, types));
  if (beginning.size() > kMaxHeader)
    return error(Code::kResourceExhausted, path, ": a description of ", beginning.size(),
                 " bytes; a file has room for ", kMaxHeader);
  ZT_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  ZT_RETURN_IF_ERROR(file.write(beginning.data(), beginning.size()));
  for (const TensorView& t : tensors) ZT_RETURN_IF_ERROR(file.write(t.bytes));
  return file.commit();
}

Result<TensorFile> read_tensor_file(const std::string& path, std::string_view kind) {
  ZT_RETURN_IF_ERROR(check_regular(path));
  TensorFile out;
  ZT_ASSIGN_OR_RETURN(out.file, MappedFile::open(path));
  const Status status = parse(kind, &out);
  if (!status.ok()) return status.with_context(path);
  return out;
}

}  // namespace zoetrope
