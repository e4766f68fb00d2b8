#include "graph/attrs.h"

#include <algorithm>
#include <charconv>

namespace zoetrope {
namespace {

std::string float_to_string(double value) {
  char buffer[32];
  const auto [end, ec] = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return ec == std::errc() ? std::string(buffer, end) : "?";
}

template <typename T, typename F>
std::string join(const std::vector<T>& items, F to_text) {
  std::string text = "[";
  for (size_t i = 0; i < items.size(); ++i) text += (i ? ", " : "") + to_text(items[i]);
  return text + "]";
}

}  // namespace

std::string attr_to_string(const AttrValue& value) {
  switch (attr_type(value)) {
    case AttrType::kBool: return std::get<bool>(value) ? "true" : "false";
    case AttrType::kInt: return std::get<Dim>(value).to_string();
    case AttrType::kFloat: return float_to_string(std::get<double>(value));
    case AttrType::kString: return "\"" + std::get<std::string>(value) + "\"";
    case AttrType::kInts:
      return join(std::get<std::vector<Dim>>(value), [](const Dim& d) { return d.to_string(); });
    case AttrType::kFloats: return join(std::get<std::vector<double>>(value), float_to_string);
  }
  return "?";
}

void Attrs::set(std::string_view name, AttrValue value) {
  const auto at =
      std::lower_bound(items_.begin(), items_.end(), name,
                       [](const auto& item, std::string_view n) { return item.first < n; });
  if (at != items_.end() && at->first == name)
    at->second = std::move(value);
  else
    items_.emplace(at, std::string(name), std::move(value));
}

const AttrValue* Attrs::find(std::string_view name) const {
  for (const auto& [key, value] : items_)
    if (key == name) return &value;
  return nullptr;
}

std::vector<int64_t> Attrs::get_ints(std::string_view name) const {
  std::vector<int64_t> values;
  for (const Dim& dim : std::get<std::vector<Dim>>(at(name))) values.push_back(dim.constant());
  return values;
}

}  // namespace zoetrope
