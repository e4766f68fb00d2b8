#include "converters/lora.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "converters/checkpoint.h"
#include "converters/families.h"
#include "converters/weight_map.h"
#include "graph/elements.h"
#include "graph/format/hash.h"

namespace zoetrope {
namespace {

constexpr std::string_view kWeight = ".weight";

// What a key says of a module: kohya's files have dots as underscores in its name.
enum class Part { kDown, kUp, kAlpha };
constexpr std::pair<std::string_view, Part> kSuffixes[] = {
    {".lora_A.weight", Part::kDown},
    {".lora_B.weight", Part::kUp},
    {".lora_A.default.weight", Part::kDown},
    {".lora_B.default.weight", Part::kUp},
    {".lora_down.weight", Part::kDown},
    {".lora_up.weight", Part::kUp},
    {".lora.down.weight", Part::kDown},
    {".lora.up.weight", Part::kUp},
    {".alpha", Part::kAlpha},
};
// Before a module's name, the long before the short.
constexpr std::string_view kPrefixes[] = {
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "model.",
    "lora_transformer_",
    "lora_unet_",
};
// What looks like an adapter and is none that this reads.
constexpr std::pair<std::string_view, std::string_view> kForeign[] = {
    {".dora_scale", "DoRA"},
    {".lora_magnitude_vector", "DoRA"},
    {".hada_w", "LoHa"},
    {".lokr_w", "LoKr"},
    {".diff_b", "a full difference"},
    {".diff", "a full difference"},
    {".lora_mid.weight", "CP-LoRA"},
};

struct Pair {
  std::string down, up, alpha;  // keys; empty: not there
};

// Part of a tensor that a module's update changes.
struct Target {
  std::string tensor;
  int64_t part = 0, parts = 1;  // of its rows
  bool ambiguous = false;       // another tensor has the same name
};

std::string flat(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::string_view without_prefix(std::string_view module) {
  for (bool found = true; found;) {
    found = false;
    for (std::string_view prefix : kPrefixes)
      if (module.starts_with(prefix)) {
        module.remove_prefix(prefix.size());
        found = true;
        break;
      }
  }
  return module;
}

// Every name that files may give to the model's modules.
std::map<std::string, Target, std::less<>> module_names(const Family& family,
                                                        std::span<const std::string> tensors) {
  std::map<std::string, Target, std::less<>> names;
  for (const std::string& tensor : tensors) {
    if (!tensor.ends_with(kWeight)) continue;
    const std::string unscoped = tensor.substr(tensor.find('/') + 1);
    for (const std::vector<std::string>& keys : family.key_layouts(unscoped)) {
      for (size_t i = 0; i < keys.size(); ++i) {
        const std::string module = keys[i].substr(0, keys[i].size() - kWeight.size());
        const Target target{tensor, static_cast<int64_t>(i), static_cast<int64_t>(keys.size())};
        for (const std::string& name : {module, flat(module)}) {
          const auto [it, fresh] = names.try_emplace(name, target);
          if (!fresh && it->second.tensor != tensor) it->second.ambiguous = true;
        }
      }
    }
  }
  return names;
}

// How the factor of an update follows from its rank.
class Alphas {
 public:
  static Result<Alphas> read(const Checkpoint& checkpoint, const std::string& path) {
    Alphas alphas;
    const auto& metadata = checkpoint.metadata();
    std::string text, origin = path + ": lora_adapter_metadata";
    if (const auto it = metadata.find("lora_adapter_metadata"); it != metadata.end())
      text = it->second;
    const auto beside = std::filesystem::path(path).parent_path() / "adapter_config.json";
    if (std::error_code failed; text.empty() && std::filesystem::exists(beside, failed)) {
      origin = beside;
      ZT_ASSIGN_OR_RETURN(text, read_small_file(beside));
    }
    if (text.empty()) return alphas;
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return error(Code::kDataLoss, origin, ": not a JSON object");
    for (const auto& [key, value] : json.items()) {
      const std::string_view name = std::string_view(key).substr(key.rfind('.') + 1);
      if (name == "lora_alpha" && value.is_number()) alphas.all_ = value.get<double>();
      if (name == "use_rslora" && value == true) alphas.by_root_ = true;
      if (name == "use_dora" && value == true)
        return error(Code::kUnsupported, origin, ": DoRA; only LoRA is supported");
      if (name != "alpha_pattern" || !value.is_object()) continue;
      for (const auto& [pattern, alpha] : value.items())
        if (alpha.is_number()) alphas.by_module_.emplace_back(pattern, alpha.get<double>());
    }
    return alphas;
  }

  // `own`: what stands beside the pair.
  double scale(std::string_view module, int64_t rank, std::optional<double> own) const {
    double alpha = own.value_or(all_.value_or(static_cast<double>(rank)));
    if (!own)
      for (const auto& [pattern, value] : by_module_)
        if (module == pattern || module.ends_with("." + pattern)) alpha = value;
    return alpha / (by_root_ ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
  }

 private:
  std::optional<double> all_;
  std::vector<std::pair<std::string, double>> by_module_;
  bool by_root_ = false;  // rank-stabilised: alpha / √rank (arXiv 2312.03732)
};

Result<std::vector<float>> read_floats(const Checkpoint& checkpoint, const std::string& key,
                                       const std::vector<int>& permutation = {}) {
  ZT_ASSIGN_OR_RETURN(const WeightData data, checkpoint.load(key));
  if (!is_float(data.type.dtype))
    return error(Code::kUnsupported, checkpoint.path(), ": tensor '", key, "' is ",
                 data.type.to_string(), "; expected floats");
  const Shape& shape = data.type.shape;
  std::vector<double> wide(static_cast<size_t>(shape.elements()));
  load_elements(data.type.dtype, data.data, shape.elements(), wide.data());
  std::vector<float> list(wide.size());
  std::vector<int64_t> steps(static_cast<size_t>(shape.rank()), 1);  // of the file's axes
  for (int d = shape.rank() - 2; d >= 0; --d)
    steps[static_cast<size_t>(d)] = steps[static_cast<size_t>(d) + 1] * shape[d + 1];
  for (size_t i = 0; i < list.size(); ++i) {
    size_t from = i;
    if (!permutation.empty()) {
      auto left = static_cast<int64_t>(i);
      int64_t at = 0;
      for (int d = shape.rank() - 1; d >= 0; --d) {
        const auto axis = static_cast<size_t>(permutation[static_cast<size_t>(d)]);
        at += left % shape[static_cast<int>(axis)] * steps[axis];
        left /= shape[static_cast<int>(axis)];
      }
      from = static_cast<size_t>(at);
    }
    list[i] = static_cast<float>(wide[from]);
    if (!std::isfinite(list[i]))
      return error(Code::kDataLoss, checkpoint.path(), ": tensor '", key,
                   "' holds NaN or infinity");
  }
  return list;
}

Result<LowRankUpdate> read_update(const Checkpoint& checkpoint, const std::string& module,
                                  const Pair& pair, const Target& target, const Alphas& alphas,
                                  const WeightSource& weights) {
  ZT_ASSIGN_OR_RETURN(const TensorType down, checkpoint.type(pair.down));
  ZT_ASSIGN_OR_RETURN(const TensorType up, checkpoint.type(pair.up));
  ZT_ASSIGN_OR_RETURN(const TensorType weight, weights.type(target.tensor));
  const auto misfit = [&](const std::string& what) {
    return error(Code::kDataLoss, checkpoint.path(), ": '", pair.down, "' ", down.to_string(),
                 " and '", pair.up, "' ", up.to_string(), " ", what);
  };
  if (down.shape.rank() < 2 || up.shape.rank() < 2 || down.shape.elements() == 0 ||
      up.shape.elements() == 0)
    return misfit("are no pair of matrices");
  LowRankUpdate update;
  update.tensor = target.tensor;
  update.rank = down.shape[0];
  if (up.shape.elements() / up.shape[0] != update.rank) return misfit("differ in their ranks");
  update.rows = up.shape[0];
  update.columns = down.shape.elements() / update.rank;
  const int64_t all = weight.shape.rank() > 0 ? weight.shape[0] : 0;
  if (all == 0 || all % target.parts != 0 || update.rows != all / target.parts ||
      update.columns != weight.shape.elements() / all)
    return misfit(str("do not fit '", target.tensor, "', ", weight.to_string()));
  update.first_row = target.part * update.rows;
  const bool filter = weight.shape.rank() > 2 && down.shape.rank() == weight.shape.rank();
  ZT_ASSIGN_OR_RETURN(
      update.down,
      read_floats(checkpoint, pair.down,
                  filter ? channels_last_permutation(weight.shape.rank()) : std::vector<int>{}));
  ZT_ASSIGN_OR_RETURN(update.up, read_floats(checkpoint, pair.up));
  std::optional<double> own;
  if (!pair.alpha.empty()) {
    ZT_ASSIGN_OR_RETURN(const std::vector<float> alpha, read_floats(checkpoint, pair.alpha));
    if (alpha.size() != 1)
      return error(Code::kDataLoss, checkpoint.path(), ": '", pair.alpha, "' is not one number");
    own = alpha[0];
  }
  update.scale = alphas.scale(module, update.rank, own);
  return update;
}

Result<std::map<std::string, Pair>> find_pairs(const Checkpoint& checkpoint) {
  std::map<std::string, Pair> pairs;  // by module
  for (const std::string& key : checkpoint.names()) {
    const auto suffix = std::find_if(std::begin(kSuffixes), std::end(kSuffixes),
                                     [&](const auto& s) { return key.ends_with(s.first); });
    if (suffix == std::end(kSuffixes)) {
      for (const auto& [mark, kind] : kForeign)
        if (key.ends_with(mark) || (mark.ends_with("_w") && key.find(mark) != std::string::npos))
          return error(Code::kUnsupported, checkpoint.path(), ": tensor '", key, "' belongs to ",
                       kind, "; only LoRA is supported");
      return error(Code::kDataLoss, checkpoint.path(), ": tensor '", key,
                   "' is no part of a LoRA (lora_A and lora_B, lora_down and lora_up, alpha)");
    }
    Pair& pair = pairs[key.substr(0, key.size() - suffix->first.size())];
    std::string& slot = suffix->second == Part::kDown ? pair.down
                        : suffix->second == Part::kUp ? pair.up
                                                      : pair.alpha;
    if (!slot.empty())
      return error(Code::kDataLoss, checkpoint.path(), ": '", slot, "' and '", key,
                   "' are the same part of one module");
    slot = key;
  }
  return pairs;
}

// Of every tensor's bytes and the factors.
uint64_t fingerprint(const std::vector<LowRankUpdate>& updates) {
  uint64_t hash = 0;
  const auto add = [&](const void* data, size_t bytes) {
    hash = hash * 0x9E3779B97F4A7C15ull + hash_bytes({static_cast<const uint8_t*>(data), bytes});
  };
  for (const LowRankUpdate& u : updates) {
    add(u.tensor.data(), u.tensor.size());
    add(&u.first_row, sizeof u.first_row);
    add(&u.scale, sizeof u.scale);
    add(u.up.data(), u.up.size() * sizeof(float));
    add(u.down.data(), u.down.size() * sizeof(float));
  }
  return hash;
}

}  // namespace

Result<Lora> read_lora(const std::string& path, std::string_view family_name,
                       std::span<const std::string> tensors, const WeightSource& weights) {
  const auto known = families();
  const auto family = std::find_if(known.begin(), known.end(), [&](const Family* f) {
    return f->name == family_name && f->key_layouts != nullptr;
  });
  if (family == known.end())
    return error(Code::kUnsupported, path, ": adapters for models of the family '", family_name,
                 "' are not known");
  ZT_ASSIGN_OR_RETURN(const auto checkpoint, open_checkpoint(path));
  ZT_ASSIGN_OR_RETURN(const auto pairs, find_pairs(*checkpoint));
  ZT_ASSIGN_OR_RETURN(const Alphas alphas, Alphas::read(*checkpoint, checkpoint->path()));
  const auto names = module_names(**family, tensors);
  Lora lora;
  for (const auto& [module, pair] : pairs) {
    const std::string& any = !pair.down.empty() ? pair.down
                             : !pair.up.empty() ? pair.up
                                                : pair.alpha;
    if (pair.down.empty() || pair.up.empty())
      return error(Code::kDataLoss, path, ": '", any, "' has no ",
                   pair.down.empty() ? "lora_A (or lora_down)" : "lora_B (or lora_up)",
                   " beside it");
    const auto target = names.find(without_prefix(module));
    if (target == names.end())
      return error(Code::kInvalidArgument, path, ": '", any, "' fits no weight of this ",
                   family_name, " model; was the adapter made for another model?");
    if (target->second.ambiguous)
      return error(Code::kUnsupported, path, ": '", any, "' fits several weights of this model, '",
                   target->second.tensor, "' among them");
    ZT_ASSIGN_OR_RETURN(lora.updates.emplace_back(),
                        read_update(*checkpoint, module, pair, target->second, alphas, weights));
  }
  if (lora.updates.empty()) return error(Code::kDataLoss, path, ": no tensors in it");
  lora.revision = str("lora ", fingerprint(lora.updates));
  return lora;
}

}  // namespace zoetrope
