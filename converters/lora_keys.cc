#include "converters/lora_keys.h"

#include <algorithm>
#include <utility>

namespace zoetrope {
namespace {

using Suffix = std::pair<std::string_view, LoraPart>;
constexpr Suffix kSuffixes[] = {
    {".lora_A.weight", LoraPart::kDown},
    {".lora_B.weight", LoraPart::kUp},
    {".lora_A.default.weight", LoraPart::kDown},
    {".lora_B.default.weight", LoraPart::kUp},
    {".lora_A", LoraPart::kDown},
    {".lora_B", LoraPart::kUp},
    {".lora_down.weight", LoraPart::kDown},
    {".lora_up.weight", LoraPart::kUp},
    {".lora.down.weight", LoraPart::kDown},
    {".lora.up.weight", LoraPart::kUp},
    {"_lora.down.weight", LoraPart::kDown},
    {"_lora.up.weight", LoraPart::kUp},
    {".alpha", LoraPart::kAlpha},
    {".lora_B.bias", LoraPart::kUpBias},
    {".lora_B.default.bias", LoraPart::kUpBias},
    {".diff", LoraPart::kDiff},
    {".w_norm", LoraPart::kDiff},
    {".diff_b", LoraPart::kDiffBias},
    {".b_norm", LoraPart::kDiffBias},
    {".diff_m", LoraPart::kDiffModulation},
    {".diff_param", LoraPart::kDiffParameter},
};
// Before a module's name, the long before the short.
constexpr std::string_view kPrefixes[] = {
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "model.",
    "unet.",
    "lora_transformer_",
    "lora_unet__",
    "lora_unet_",
};
// What looks like an adapter and is none that is read.
using Foreign = std::pair<std::string_view, std::string_view>;  // and its kind
constexpr Foreign kForeign[] = {
    {".dora_scale", "DoRA"},
    {".lora_magnitude_vector", "DoRA"},
    {".hada_w", "LoHa"},
    {".lokr_w", "LoKr"},
    {".lora_mid.weight", "CP-LoRA"},
    {".set_weight", "a weight that replaces the model's"},
    {".set_param", "a weight that replaces the model's"},
    {".reshape_weight", "a weight of another shape"},
};

// Null: none.
const Suffix* find_suffix(std::string_view key) {
  const auto* found = std::find_if(std::begin(kSuffixes), std::end(kSuffixes),
                                   [&](const Suffix& s) { return key.ends_with(s.first); });
  return found == std::end(kSuffixes) ? nullptr : found;
}
const Foreign* find_foreign(std::string_view key) {
  const auto* found =
      std::find_if(std::begin(kForeign), std::end(kForeign), [&](const Foreign& foreign) {
        const std::string_view mark = foreign.first;  // "_w": numbered, as lokr_w1_a
        return key.ends_with(mark) || (mark.ends_with("_w") && key.find(mark) != key.npos);
      });
  return found == std::end(kForeign) ? nullptr : found;
}

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

// "a.b.weight" also as "a_b.weight"; of what is neither a weight nor a bias all dots are
// underscores.
std::string flat_key(const std::string& key) {
  for (const char* leaf : {".weight", ".bias"})
    if (key.ends_with(leaf)) return flat(key.substr(0, key.rfind('.'))) + leaf;
  return flat(key);
}

}  // namespace

bool is_adapter_key(std::string_view key) {
  return find_suffix(key) != nullptr || find_foreign(key) != nullptr;
}

Result<std::map<std::string, LoraModule>> find_lora_modules(const Checkpoint& checkpoint) {
  std::map<std::string, LoraModule> modules;
  for (const auto& [key, other] : checkpoint.unreadable())
    if (other.is_tensor) return no_tensor(checkpoint, key);
  for (const std::string& key : checkpoint.names()) {
    const Suffix* suffix = find_suffix(key);
    if (suffix == nullptr) {
      if (const Foreign* foreign = find_foreign(key); foreign != nullptr)
        return error(Code::kUnsupported, checkpoint.path(), ": tensor '", key, "' belongs to ",
                     foreign->second, "; only LoRA and differences (diff, diff_b) are supported");
      return error(Code::kDataLoss, checkpoint.path(), ": tensor '", key,
                   "' is no part of a LoRA (lora_A and lora_B, lora_down and lora_up, alpha, diff, "
                   "diff_b)");
    }
    LoraModule& module = modules[key.substr(0, key.size() - suffix->first.size())];
    const auto [slot, fresh] = module.emplace(suffix->second, key);
    if (!fresh)
      return error(Code::kDataLoss, checkpoint.path(), ": '", slot->second, "' and '", key,
                   "' are the same part of one module");
  }
  return modules;
}

LoraNames::LoraNames(const Family& family, std::span<const std::string> tensors) {
  for (const std::string& tensor : tensors) {
    const std::string unscoped = tensor.substr(tensor.find('/') + 1);
    for (const std::vector<std::string>& keys : family.key_layouts(unscoped))
      for (size_t i = 0; i < keys.size(); ++i) {
        const LoraTarget target{tensor, static_cast<int64_t>(i), static_cast<int64_t>(keys.size())};
        for (const std::string& name : {keys[i], flat_key(keys[i])}) {
          const auto [it, fresh] = targets_.try_emplace(name, target);
          if (!fresh && it->second.tensor != tensor) it->second.ambiguous = true;
        }
      }
  }
}

const LoraTarget* LoraNames::find(std::string_view module, LoraPart part) const {
  const std::string name(without_prefix(module));
  const auto at = [&](const char* leaf) -> const LoraTarget* {
    const auto it = targets_.find(name + leaf);
    return it == targets_.end() ? nullptr : &it->second;
  };
  switch (part) {
    case LoraPart::kDown:
    case LoraPart::kUp:
    case LoraPart::kAlpha: return at(".weight");
    case LoraPart::kUpBias:
    case LoraPart::kDiffBias: return at(".bias");
    case LoraPart::kDiff:
      if (const LoraTarget* weight = at(".weight")) return weight;
      return at("");
    case LoraPart::kDiffModulation: return at(".modulation");
    case LoraPart::kDiffParameter: return at("");
  }
  return nullptr;
}

}  // namespace zoetrope
