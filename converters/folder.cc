// Checkpoints that lie in several files: shards, folders, diffusers pipelines.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "converters/checkpoint.h"
#include "graph/format/folder_listing.h"
#include "graph/format/mapped_file.h"

namespace zoetrope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMaxShards = 4096;

// Modules that frameworks put around others for sharding, checkpointing and compiling; their names
// stand in the middle of keys.
constexpr std::string_view kWrappers[] = {"_fsdp_wrapped_module.", "_checkpoint_wrapped_module.",
                                          "_orig_mod."};

std::string without_wrappers(std::string name) {
  for (const std::string_view wrapper : kWrappers)
    for (size_t at = 0; (at = name.find(wrapper, at)) != std::string::npos;)
      if (at == 0 || name[at - 1] == '.')
        name.erase(at, wrapper.size());
      else
        at += wrapper.size();
  return name;
}

bool has_wrappers(const Checkpoint& checkpoint) {
  return std::any_of(checkpoint.names().begin(), checkpoint.names().end(),
                     [](const std::string& name) { return without_wrappers(name) != name; });
}

// "x.safetensors.index.json", or of a variant "x.safetensors.index.fp16.json".
bool is_index(std::string_view name, std::string_view kind = "") {
  return name.ends_with(".json") && name.find(str(kind, ".index.")) != name.npos;
}

class Joined : public Checkpoint {
 public:
  static Result<std::unique_ptr<Checkpoint>> create(
      const std::string& path, std::vector<std::unique_ptr<Checkpoint>> parts) {
    auto joined = std::make_unique<Joined>();
    joined->path_ = path;
    for (const auto& part : parts) {
      for (const std::string& name : part->names())
        if (const auto [it, fresh] =
                joined->part_of_.emplace(without_wrappers(name), Place{part.get(), name});
            !fresh)
          return error(Code::kDataLoss, path, ": tensor '", name, "' is in ",
                       it->second.part->path(), " as '", it->second.name, "' and in ",
                       part->path());
      for (const auto& [key, value] : part->metadata()) joined->metadata_.emplace(key, value);
      for (const auto& [name, other] : part->unreadable())
        joined->unreadable_.emplace(without_wrappers(name), other);
    }
    for (const auto& [name, place] : joined->part_of_) joined->names_.push_back(name);
    joined->parts_ = std::move(parts);
    return std::unique_ptr<Checkpoint>(std::move(joined));
  }

  const std::string& path() const override { return path_; }
  const std::vector<std::string>& names() const override { return names_; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  const std::string& config() const override { return config_; }
  const std::map<std::string, Unreadable, std::less<>>& unreadable() const override {
    return unreadable_;
  }
  std::string remark() const override {
    for (const auto& part : parts_)
      if (std::string remark = part->remark(); !remark.empty()) return remark;
    return "";
  }
  void set_config(std::string text) { config_ = std::move(text); }

  Result<TensorType> type(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const Place* place, find(name));
    return place->part->type(place->name);
  }
  Result<WeightData> load(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const Place* place, find(name));
    return place->part->load(place->name);
  }
  std::optional<EncodedLayout> encoded(std::string_view name) const override {
    const auto place = find(name);
    return place.ok() ? (*place)->part->encoded((*place)->name) : std::nullopt;
  }
  Result<WeightData> load_part(std::string_view name, EncodedPart which) const override {
    ZT_ASSIGN_OR_RETURN(const Place* place, find(name));
    return place->part->load_part(place->name, which);
  }

 private:
  struct Place {
    const Checkpoint* part;
    std::string name;  // there
  };

  Result<const Place*> find(std::string_view name) const {
    const auto it = part_of_.find(name);
    if (it == part_of_.end()) return no_tensor(*this, name);
    return &it->second;
  }

  std::string path_;
  std::vector<std::unique_ptr<Checkpoint>> parts_;
  std::map<std::string, Place, std::less<>> part_of_;  // by names without wrappers
  std::vector<std::string> names_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Unreadable, std::less<>> unreadable_;
  std::string config_;
};

// A file name without any folder in it: an index must not point elsewhere.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() < 256 && name != "." && name != ".." &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

Result<std::unique_ptr<Checkpoint>> open_file(const std::string& path) {
  if (is_index(fs::path(path).filename().string())) return open_sharded(path);
  ZT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const auto bytes = file.bytes();
  const bool is_zip = bytes.size() >= 4 && std::equal(bytes.begin(), bytes.begin() + 4, "PK\3\4");
  const std::string extension = fs::path(path).extension();
  const bool is_torch =
      extension == ".pt" || extension == ".pth" || extension == ".bin" || extension == ".ckpt";
  const bool is_gguf = bytes.size() >= 4 && std::equal(bytes.begin(), bytes.begin() + 4, "GGUF");
  if (is_gguf) return open_gguf(path);
  return is_zip || is_torch ? open_torch(path) : open_safetensors(path);
}

// The index if there is one, else the only weight file; safetensors before pickles.
Result<std::string> find_weights(const std::string& folder) {
  // The plain ones first, then variants.
  const auto is_kind = [](const std::string& name, std::string_view kind) {
    return kind.ends_with('*') ? is_index(name, kind.substr(0, kind.size() - 1))
                               : name.ends_with(kind);
  };
  ZT_ASSIGN_OR_RETURN(const std::vector<std::string> names, list_folder(folder));
  for (const char* suffix : {".safetensors.index.json", ".safetensors*", ".bin.index.json", ".bin*",
                             ".safetensors", ".gguf", ".bin", ".pt", ".pth"}) {
    std::vector<std::string> found;
    for (const std::string& name : names)
      if (is_kind(name, suffix)) found.push_back((fs::path(folder) / name).string());
    if (found.size() > 1)
      return error(Code::kInvalidArgument, folder, " holds ", found.size(), " files *", suffix,
                   "; name one of them, such as ", found.front());
    if (found.size() == 1) return found.front();
  }
  for (const std::string& name : names) {
    if (name.ends_with(".distcp"))
      return error(Code::kUnsupported, folder,
                   " is a distributed checkpoint of PyTorch (DCP): join it first, by python -m "
                   "torch.distributed.checkpoint.format_utils dcp_to_torch ",
                   folder, " model.pt");
    if (name == "zero_to_fp32.py" || name.starts_with("global_step"))
      return error(Code::kUnsupported, folder,
                   " is a checkpoint of DeepSpeed in parts: join them first, by its own "
                   "zero_to_fp32.py");
  }
  return error(Code::kNotFound, folder, " holds no .safetensors, .gguf, .bin, .pt or .pth");
}

}  // namespace

const std::string& Checkpoint::config() const {
  static const std::string none;
  return none;
}

const std::map<std::string, Unreadable, std::less<>>& Checkpoint::unreadable() const {
  static const std::map<std::string, Unreadable, std::less<>> none;
  return none;
}

std::string Checkpoint::remark() const {
  if (unreadable().empty()) return "";
  const auto& [name, other] = *unreadable().begin();
  return str("'", name, "' is ", other.what);
}

Status no_tensor(const Checkpoint& checkpoint, std::string_view name) {
  const auto other = checkpoint.unreadable().find(name);
  if (other == checkpoint.unreadable().end())
    return error(Code::kNotFound, checkpoint.path(), " has no tensor '", name, "'");
  return error(Code::kUnsupported, checkpoint.path(), ": '", name, "' is ", other->second.what);
}

Result<std::string> read_small_file(const std::string& path, int64_t limit) {
  ZT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const auto bytes = file.bytes();
  if (static_cast<int64_t>(bytes.size()) > limit)
    return error(Code::kDataLoss, path, " has ", bytes.size(), " bytes; at most ", limit,
                 " make sense");
  return std::string(bytes.begin(), bytes.end());
}

Result<std::unique_ptr<Checkpoint>> join_checkpoints(
    const std::string& path, std::vector<std::unique_ptr<Checkpoint>> parts) {
  return Joined::create(path, std::move(parts));
}

Result<std::unique_ptr<Checkpoint>> open_sharded(const std::string& index_path) {
  ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(index_path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object())
    return error(Code::kDataLoss, index_path, ": no weight_map; not an index of shards");
  std::map<std::string, std::vector<std::string>> shards;  // file → the tensors it should hold
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>()))
      return error(Code::kDataLoss, index_path, ": tensor '", name.substr(0, 200),
                   "' is not mapped to a file of this folder");
    shards[file.get<std::string>()].push_back(name);
  }
  if (shards.size() > kMaxShards)
    return error(Code::kDataLoss, index_path, ": ", shards.size(), " shards");
  std::vector<std::unique_ptr<Checkpoint>> parts;
  for (const auto& [file, names] : shards) {
    const std::string path = (fs::path(index_path).parent_path() / file).string();
    auto part = file.ends_with(".safetensors") ? open_safetensors(path) : open_torch(path);
    if (!part.ok()) return part.status().with_context(index_path);
    for (const std::string& name : names)
      if (!(*part)->type(name).ok() && !(*part)->unreadable().contains(name))
        return error(Code::kDataLoss, index_path, ": ", file, " should hold tensor '",
                     name.substr(0, 200), "' but does not");
    parts.push_back(std::move(*part));
  }
  return join_checkpoints(index_path, std::move(parts));
}

Result<std::unique_ptr<Checkpoint>> open_checkpoint(const std::string& path) {
  std::error_code failed;
  std::string file = path;
  if (fs::is_directory(path, failed)) {
    ZT_ASSIGN_OR_RETURN(file, find_weights(path));
  }
  ZT_ASSIGN_OR_RETURN(auto checkpoint, open_file(file));
  const std::string config = (fs::path(file).parent_path() / "config.json").string();
  const bool has_config = fs::exists(config, failed);
  if (!has_config && !has_wrappers(*checkpoint)) return checkpoint;
  std::vector<std::unique_ptr<Checkpoint>> parts;
  parts.push_back(std::move(checkpoint));
  if (!has_config) return join_checkpoints(file, std::move(parts));
  ZT_ASSIGN_OR_RETURN(std::string text, read_small_file(config, 1 << 20));
  ZT_ASSIGN_OR_RETURN(auto joined, Joined::create(file, std::move(parts)));
  static_cast<Joined&>(*joined).set_config(std::move(text));
  return joined;
}

Result<DiffusersFolder> read_diffusers_folder(const std::string& path) {
  std::string index = (fs::path(path) / "model_index.json").string();
  std::error_code failed;
  if (!fs::exists(index, failed)) index = (fs::path(path) / "modular_model_index.json").string();
  ZT_ASSIGN_OR_RETURN(const std::string text, read_small_file(index, 1 << 20));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return error(Code::kDataLoss, index, " is not a JSON object");
  DiffusersFolder folder;
  folder.path = path;
  folder.index_path = index;
  folder.index = text;
  for (const auto& [name, value] : json.items()) {
    if (name == "_class_name" && value.is_string())
      folder.pipeline_class = value.get<std::string>();
    // Components are [library, class], of modular pipelines with an object that says where they
    // come from; a null class is one that was left out.
    const bool modular = value.is_array() && value.size() == 3 && value[2].is_object();
    if (!modular && (!value.is_array() || value.size() != 2)) continue;
    if (!value[1].is_string()) continue;
    if (!is_plain_name(name)) return error(Code::kDataLoss, index, ": bad component name");
    const fs::path component = fs::path(path) / name;
    const bool there = fs::is_directory(component, failed);
    if (modular && !there) continue;
    if (!there)
      return error(Code::kNotFound, index, " names the component '", name,
                   "', but there is no folder ", component.string(), "; download it too");
    folder.components[name] = {value[1].get<std::string>(), component.string()};
  }
  return folder;
}

}  // namespace zoetrope
