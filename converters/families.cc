#include "converters/families.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

namespace zoetrope {

std::string rewrite_key(std::string key, std::span<const KeyRewrite> rules) {
  for (const KeyRewrite& rule : rules) {
    const size_t at = key.find(rule.from);
    if (at == std::string::npos || (at != 0 && rule.from[0] != '.')) continue;
    key.replace(at, rule.from.size(), rule.to);
  }
  return key;
}

std::string find_prefix(const Checkpoint& checkpoint, const std::string& key) {
  for (const char* prefix :
       {"", "ema.", "model.", "state_dict.", "module.", "model.diffusion_model."})
    if (checkpoint.type(prefix + key).ok()) return prefix;
  return "";
}

int64_t count_blocks(const Checkpoint& checkpoint, const std::string& prefix) {
  std::set<int64_t> seen;
  for (const std::string& name : checkpoint.names()) {
    if (!name.starts_with(prefix)) continue;
    int64_t index = -1;
    const char* begin = name.data() + prefix.size();
    const auto [end, failed] = std::from_chars(begin, name.data() + name.size(), index);
    if (failed == std::errc() && end != name.data() + name.size() && *end == '.' && index >= 0)
      seen.insert(index);
  }
  return static_cast<int64_t>(seen.size());
}

Result<Shape> weight_shape(const Checkpoint& checkpoint, const std::string& key) {
  ZT_ASSIGN_OR_RETURN(const TensorType type, checkpoint.type(key));
  return type.shape;
}

Result<int64_t> config_integer(const std::string& text, const char* key, int64_t low,
                               int64_t high) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto it = json.is_object() ? json.find(key) : json.end();
  if (!json.is_object() || it == json.end() || !it->is_number_integer())
    return error(Code::kDataLoss, "config.json: '", key, "' must be an integer");
  const auto value = it->get<int64_t>();
  if (value < low || value > high)
    return error(Code::kDataLoss, "config.json: '", key, "' is ", value, "; expected ", low, " to ",
                 high);
  return value;
}

Status unused_error(const Checkpoint& checkpoint, const std::string& key) {
  return error(Code::kDataLoss, checkpoint.path(), ": tensor '", key, "' belongs to no component");
}

}  // namespace zoetrope
