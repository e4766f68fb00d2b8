#include "tests/fuzz/json_changes.h"

#include <cmath>

namespace zoetrope {
namespace {

using Json = nlohmann::ordered_json;

void list_places(const Json& json, const Json::json_pointer& at, std::vector<std::string>* places) {
  places->push_back(at.to_string());
  if (json.is_object())
    for (const auto& [key, value] : json.items()) list_places(value, at / key, places);
  if (json.is_array())
    for (size_t i = 0; i < json.size(); ++i) list_places(json[i], at / i, places);
}

std::vector<std::string> texts_in(const Json& json, std::vector<std::string> texts) {
  std::vector<std::string> places;
  list_places(json, Json::json_pointer(), &places);
  for (const std::string& place : places)
    if (const Json& value = json.at(Json::json_pointer(place)); value.is_string())
      texts.push_back(value.get<std::string>());
  return texts;
}

Json change_number(Draw& draw, const Json& value) {
  const double number = value.get<double>();
  switch (draw.below(7)) {
    case 0: return number + 1;
    case 1: return number - 1;
    case 2: return number * 2;
    case 3: return number / 2;
    case 4: return draw.number();
    default: return draw.whole();
  }
}

// Whole numbers stay whole, so that readers look at their size.
Json rounded(const Json& changed, const Json& old) {
  if (!old.is_number_integer() || !changed.is_number_float()) return changed;
  const double number = changed.get<double>();
  return std::abs(number) < 1e15 ? Json(static_cast<int64_t>(number)) : Json(1 << 20);
}

void change_list(Draw& draw, Json* list) {
  if (list->empty()) return;
  const size_t i = draw.below(list->size()), k = draw.below(list->size());
  switch (draw.below(4)) {
    case 0: list->erase(i); return;
    case 1: list->push_back((*list)[i]); return;
    case 2: std::swap((*list)[i], (*list)[k]); return;
    default: list->insert(list->begin() + static_cast<int64_t>(i), (*list)[k]);
  }
}

}  // namespace

std::string change_json(Draw& draw, Json* json, const std::vector<std::string>& words) {
  std::vector<std::string> places;
  list_places(*json, Json::json_pointer(), &places);
  const std::string place = draw.pick(places);
  Json& value = json->at(Json::json_pointer(place));
  const Json old = value;
  if (value.is_boolean()) value = !value.get<bool>();
  if (value.is_number()) value = rounded(change_number(draw, value), old);
  if (value.is_string()) {
    const auto texts = texts_in(*json, words);
    value = draw.pick(texts);
  }
  if (value.is_array()) change_list(draw, &value);
  if (value.is_object() && !value.empty()) {
    auto item = value.begin();
    std::advance(item, draw.below(value.size()));
    value.erase(item);
  }
  return str(place, ": ", value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
}

}  // namespace zoetrope
