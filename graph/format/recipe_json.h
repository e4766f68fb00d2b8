// Writes structs whose fields are listed once, by `fields(visitor, struct)`: what JsonReader reads.
// For recipe.cc alone.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "graph/json_reader.h"

namespace zoetrope::recipe_json {

using Json = nlohmann::json;

// The other way: every field, except what is empty and need not be given.
class Writer {
 public:
  Json json = Json::object();

  void name(const char* key, std::string* in) { json[key] = *in; }
  void optional_name(const char* key, std::string* in) {
    if (!in->empty()) json[key] = *in;
  }
  void text(const char* key, std::string* in, size_t) { optional_name(key, in); }
  void texts(const char* key, std::vector<std::string>* in, size_t) {
    if (!in->empty()) json[key] = *in;
  }
  void flag(const char* key, bool* in) { json[key] = *in; }
  template <typename E>
  void choice(const char* key, E* in, std::span<const std::string_view> names) {
    json[key] = names[static_cast<size_t>(*in)];
  }
  void word(const char* key, std::string* in, std::span<const std::string_view>) {
    json[key] = *in;
  }
  template <typename T>
  void integer(const char* key, T* in, int64_t, int64_t) {
    json[key] = *in;
  }
  void number(const char* key, double* in, double, double) { json[key] = *in; }
  void optional_number(const char* key, std::optional<double>* in, double, double) {
    if (in->has_value()) json[key] = **in;
  }
  template <typename T>
  void numbers(const char* key, std::vector<T>* in, size_t, double, double) {
    if (!in->empty()) json[key] = *in;
  }
  template <typename T>
  void object(const char* key, T* in) {
    Writer inner;
    fields(inner, *in);
    json[key] = std::move(inner.json);
  }
  template <typename T>
  void objects(const char* key, std::vector<T>* in, size_t) {
    Json list = Json::array();
    for (T& item : *in) {
      Writer inner;
      fields(inner, item);
      list.push_back(std::move(inner.json));
    }
    json[key] = std::move(list);
  }
  template <typename... T>
  void variant(const char* key, std::variant<T...>* in, std::span<const std::string_view> names) {
    json[key] = names[in->index()];
    std::visit([&](auto& held) { fields(*this, held); }, *in);
  }
  void require(bool, const char*, std::string_view) {}
};

}  // namespace zoetrope::recipe_json
