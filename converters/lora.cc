#include "converters/lora.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "converters/lora_keys.h"
#include "converters/weight_map.h"
#include "graph/elements.h"
#include "graph/format/hash.h"

namespace zoetrope {
namespace {

constexpr int64_t kScan = 1 << 14;  // elements looked at together

// How the factor of an update follows from its rank.
class Alphas {
 public:
  static Result<Alphas> read(const Checkpoint& checkpoint, const std::string& path,
                             const std::map<std::string, LoraModule>& modules) {
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
      const auto number = [&](const nlohmann::json& given, const std::string& what) -> Status {
        if (given.is_number()) return Status();
        return error(Code::kUnsupported, origin, ": '", what, "' is ", given.dump().substr(0, 80),
                     "; expected a number");
      };
      if (name == "lora_alpha" && !value.is_null()) {
        ZT_RETURN_IF_ERROR(number(value, key));
        if (alphas.all_ && *alphas.all_ != value.get<double>())
          return error(Code::kUnsupported, origin, ": '", key, "' is ", value.get<double>(),
                       ", and another lora_alpha beside it ", *alphas.all_);
        alphas.all_ = value.get<double>();
      }
      if (name == "use_rslora" || name == "use_dora") {
        if (!value.is_null() && !value.is_boolean())
          return error(Code::kUnsupported, origin, ": '", key, "' is ", value.dump().substr(0, 80),
                       "; expected true, false or null");
      }
      if (name == "use_rslora" && value == true) alphas.by_root_ = true;
      if (name == "use_dora" && value == true)
        return error(Code::kUnsupported, origin, ": DoRA; only LoRA is supported");
      if (name != "alpha_pattern" || value.is_null()) continue;
      if (!value.is_object())
        return error(Code::kUnsupported, origin, ": '", key, "' is ", value.dump().substr(0, 80),
                     "; expected an object of names and numbers");
      for (const auto& [pattern, alpha] : value.items()) {
        ZT_RETURN_IF_ERROR(number(alpha, key + "/" + pattern));
        alphas.by_module_.emplace_back(pattern, alpha.get<double>());
      }
    }
    ZT_RETURN_IF_ERROR(alphas.check_patterns(origin, modules));
    return alphas;
  }

  // `own`: what stands beside the pair.
  double scale(std::string_view module, int64_t rank, std::optional<double> own) const {
    double alpha = own.value_or(all_.value_or(static_cast<double>(rank)));
    if (!own)
      for (const auto& [pattern, value] : by_module_)
        if (names(pattern, module)) alpha = value;
    return alpha / (by_root_ ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
  }

 private:
  static bool names(const std::string& pattern, std::string_view module) {
    return module == pattern || module.ends_with("." + pattern);
  }
  // PEFT takes the keys for regular expressions, the first that fits; only names are read here.
  Status check_patterns(const std::string& origin,
                        const std::map<std::string, LoraModule>& modules) const {
    for (const auto& [pattern, alpha] : by_module_) {
      bool found = false;
      for (const auto& [module, keys] : modules) {
        if (!names(pattern, module)) continue;
        found = true;
        for (const auto& [other, value] : by_module_)
          if (value != alpha && names(other, module))
            return error(Code::kUnsupported, origin, ": alpha_pattern gives '", module, "' both ",
                         alpha, ", by '", pattern, "', and ", value, ", by '", other, "'");
      }
      if (!found)
        return error(Code::kUnsupported, origin, ": alpha_pattern's '", pattern,
                     "' names no module of the file; regular expressions are not read: list the "
                     "modules by name");
    }
    return Status();
  }

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

// Filters of convolutions have their channels last in the model.
bool is_filter(const std::string& tensor, const Shape& weight, const Shape& stored) {
  return weight.rank() > 2 && stored.rank() == weight.rank() && tensor.ends_with(".weight");
}

// Columns (column of a group, group) of every row as (group, column).
void group_columns(int64_t groups, int64_t columns, std::vector<float>* values) {
  if (groups == 1) return;
  const int64_t each = columns / groups;
  std::vector<float> row(static_cast<size_t>(columns));
  for (auto at = values->begin(); at != values->end(); at += columns) {
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t i = 0; i < each; ++i)
        row[static_cast<size_t>(g * each + i)] = at[i * groups + g];
    std::copy(row.begin(), row.end(), at);
  }
}

// Where in the model, and how large there.
struct Place {
  const LoraTarget* target;
  TensorType weight;
  int64_t rows = 0, columns = 0;  // of the part that is changed
  int64_t groups = 1;             // of columns (Family::column_groups)

  LowRankUpdate update() const {
    LowRankUpdate u;
    u.tensor = target->tensor;
    u.rows = rows;
    u.columns = columns;
    u.first_row = target->part * rows;
    return u;
  }
};

class Reader {
 public:
  Reader(std::shared_ptr<const Checkpoint> checkpoint, const Family& family, const LoraNames& names,
         const Alphas& alphas, const WeightSource& weights)
      : checkpoint_(std::move(checkpoint)),
        family_(family),
        names_(names),
        alphas_(alphas),
        weights_(weights) {}

  // Every key of the module becomes an update, or is an error that names it.
  Status read(const std::string& module, const LoraModule& keys, std::vector<LowRankUpdate>* out) {
    const auto has = [&](LoraPart part) { return keys.contains(part); };
    const bool pair = has(LoraPart::kDown) && has(LoraPart::kUp);
    for (const LoraPart part :
         {LoraPart::kDown, LoraPart::kUp, LoraPart::kAlpha, LoraPart::kUpBias})
      if (has(part) && !pair)
        return error(Code::kDataLoss, checkpoint_->path(), ": '", keys.at(part), "' has no ",
                     has(LoraPart::kDown) ? "lora_B (or lora_up)" : "lora_A (or lora_down)",
                     " beside it");
    double scale = 1;
    if (pair) {
      ZT_ASSIGN_OR_RETURN(out->emplace_back(), read_pair(module, keys));
      scale = out->back().scale;
    }
    for (const auto& [part, key] : keys) {
      if (part == LoraPart::kDown || part == LoraPart::kUp || part == LoraPart::kAlpha) continue;
      ZT_ASSIGN_OR_RETURN(out->emplace_back(), read_difference(module, part, key));
      if (part == LoraPart::kUpBias) out->back().scale = scale;
    }
    return Status();
  }

 private:
  Result<Place> find(const std::string& module, LoraPart part, const std::string& key) const {
    Place place;
    place.target = names_.find(module, part);
    if (place.target == nullptr)
      return error(Code::kInvalidArgument, checkpoint_->path(), ": '", key,
                   "' fits no weight of this ", family_.name,
                   " model; was the adapter made for another model?");
    if (place.target->ambiguous)
      return error(Code::kUnsupported, checkpoint_->path(), ": '", key,
                   "' fits several weights of this model, '", place.target->tensor, "' among them");
    ZT_ASSIGN_OR_RETURN(place.weight, weights_.type(place.target->tensor));
    const Shape& shape = place.weight.shape;
    const int64_t all = shape.rank() > 0 ? shape[0] : 0;
    if (all == 0 || all % place.target->parts != 0)
      return error(Code::kDataLoss, checkpoint_->path(), ": '", key, "' means a part of '",
                   place.target->tensor, "', ", place.weight.to_string(), ", which has no such");
    place.rows = all / place.target->parts;
    place.columns = shape.elements() / all;
    if (family_.column_groups != nullptr) {
      ZT_ASSIGN_OR_RETURN(place.groups, family_.column_groups(place.target->tensor, weights_));
    }
    return place;
  }

  Status misfit(const std::string& what, const Place& place, const Shape& stored) const {
    std::string why = "was the adapter made for another model?";
    const Shape& weight = place.weight.shape;
    if (is_filter(place.target->tensor, weight, stored) && stored[1] != weight[-1])
      why = str("it was made for a model with ", stored[1], " input channels, and this one has ",
                weight[-1]);
    return error(Code::kDataLoss, checkpoint_->path(), ": ", what, " not fit '",
                 place.target->tensor, "', ", place.weight.to_string(), ": ", why);
  }

  Result<LowRankUpdate> read_pair(const std::string& module, const LoraModule& keys) const {
    const std::string &down_key = keys.at(LoraPart::kDown), &up_key = keys.at(LoraPart::kUp);
    ZT_ASSIGN_OR_RETURN(const Place place, find(module, LoraPart::kDown, down_key));
    ZT_ASSIGN_OR_RETURN(const TensorType down, checkpoint_->type(down_key));
    ZT_ASSIGN_OR_RETURN(const TensorType up, checkpoint_->type(up_key));
    const std::string both =
        str("'", down_key, "' ", down.to_string(), " and '", up_key, "' ", up.to_string());
    if (down.shape.rank() < 2 || up.shape.rank() < 2 || down.shape.elements() == 0 ||
        up.shape.elements() == 0)
      return error(Code::kDataLoss, checkpoint_->path(), ": ", both, " are no pair of matrices");
    LowRankUpdate update = place.update();
    update.rank = down.shape[0];
    if (up.shape.elements() / up.shape[0] != update.rank)
      return error(Code::kDataLoss, checkpoint_->path(), ": ", both, " differ in their ranks");
    const bool filter = is_filter(update.tensor, place.weight.shape, down.shape);
    bool fits = up.shape[0] == update.rows && down.shape.elements() == update.rank * update.columns;
    for (int i = 1; filter && i < down.shape.rank(); ++i)
      fits = fits && down.shape[i] == place.weight.shape[i == 1 ? -1 : i - 1];
    if (!fits) return misfit(both + " do", place, down.shape);
    ZT_ASSIGN_OR_RETURN(
        update.down,
        read_floats(*checkpoint_, down_key,
                    filter ? channels_last_permutation(down.shape.rank()) : std::vector<int>{}));
    group_columns(place.groups, update.columns, &update.down);
    ZT_ASSIGN_OR_RETURN(update.up, read_floats(*checkpoint_, up_key));
    std::optional<double> own;
    if (const auto it = keys.find(LoraPart::kAlpha); it != keys.end()) {
      ZT_ASSIGN_OR_RETURN(const std::vector<float> alpha, read_floats(*checkpoint_, it->second));
      if (alpha.size() != 1)
        return error(Code::kDataLoss, checkpoint_->path(), ": '", it->second,
                     "' is not one number");
      own = alpha[0];
    }
    update.scale = alphas_.scale(module, update.rank, own);
    return update;
  }

  // All of a tensor, read where the file is mapped as the weight is loaded.
  Result<LowRankUpdate> read_difference(const std::string& module, LoraPart part,
                                        const std::string& key) const {
    ZT_ASSIGN_OR_RETURN(const Place place, find(module, part, key));
    ZT_ASSIGN_OR_RETURN(WeightData data, checkpoint_->load(key));
    if (!is_float(data.type.dtype))
      return error(Code::kUnsupported, checkpoint_->path(), ": tensor '", key, "' is ",
                   data.type.to_string(), "; expected floats");
    LowRankUpdate update = place.update();
    const Shape stored = data.type.shape;
    const bool filter = is_filter(update.tensor, place.weight.shape, stored);
    bool fits = stored.elements() == update.rows * update.columns && stored[0] == update.rows;
    for (int i = 1; filter && i < stored.rank(); ++i)
      fits = fits && stored[i] == place.weight.shape[i == 1 ? -1 : i - 1];
    if (!fits) return misfit(str("'", key, "' ", data.type.to_string(), " does"), place, stored);
    if (filter || place.groups > 1) {
      ZT_ASSIGN_OR_RETURN(auto list, read_floats(*checkpoint_, key,
                                                 filter ? channels_last_permutation(stored.rank())
                                                        : std::vector<int>{}));
      group_columns(place.groups, update.columns, &list);
      auto held = std::make_shared<const std::vector<float>>(std::move(list));
      update.added = {{DType::kF32, {update.rows, update.columns}}, held->data(), held};
      return update;
    }
    ZT_RETURN_IF_ERROR(check_finite(data, key));
    if (data.owner == nullptr) data.owner = checkpoint_;
    data.type.shape = {update.rows, update.columns};
    update.added = std::move(data);
    return update;
  }

  Status check_finite(const WeightData& data, const std::string& key) const {
    std::vector<double> some(static_cast<size_t>(kScan));
    const int64_t count = data.type.shape.elements(), size = dtype_size(data.type.dtype);
    for (int64_t at = 0; at < count; at += kScan) {
      const int64_t n = std::min(kScan, count - at);
      load_elements(data.type.dtype, static_cast<const char*>(data.data) + at * size, n,
                    some.data());
      if (!std::all_of(some.begin(), some.begin() + n, [](double x) { return std::isfinite(x); }))
        return error(Code::kDataLoss, checkpoint_->path(), ": tensor '", key,
                     "' holds NaN or infinity");
    }
    return Status();
  }

  const std::shared_ptr<const Checkpoint> checkpoint_;
  const Family& family_;
  const LoraNames& names_;
  const Alphas& alphas_;
  const WeightSource& weights_;
};

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
    if (u.rank == 0) add(u.added.data, static_cast<size_t>(u.added.type.bytes()));
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
  ZT_ASSIGN_OR_RETURN(auto opened, open_checkpoint(path));
  const std::shared_ptr<const Checkpoint> checkpoint = std::move(opened);
  ZT_ASSIGN_OR_RETURN(const auto modules, find_lora_modules(*checkpoint));
  ZT_ASSIGN_OR_RETURN(const Alphas alphas, Alphas::read(*checkpoint, checkpoint->path(), modules));
  const LoraNames names(**family, tensors);
  Reader reader(checkpoint, **family, names, alphas, weights);
  Lora lora;
  for (const auto& [module, keys] : modules)
    ZT_RETURN_IF_ERROR(reader.read(module, keys, &lora.updates));
  if (lora.updates.empty()) return error(Code::kDataLoss, path, ": no tensors in it");
  lora.revision = str("lora ", fingerprint(lora.updates));
  return lora;
}

}  // namespace zoetrope
