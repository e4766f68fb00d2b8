// Writes structs whose fields are listed once, by `fields(visitor, struct)`: what JsonReader reads.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "graph/json_reader.h"
#include "graph/text.h"

namespace zoetrope {

// The other way: every field, except what is empty and need not be given.
class JsonWriter {
 public:
  using Json = nlohmann::json;

  Json json = Json::object();

  void name(const char* key, std::string* in) { json[key] = *in; }
  void optional_name(const char* key, std::string* in) {
    if (!in->empty()) json[key] = *in;
  }
  void text(const char* key, std::string* in, size_t) { optional_name(key, in); }
  void free_text(const char* key, std::string* in, size_t limit) { text(key, in, limit); }
  // Bytes that are no clean text, as names of files may have, in hexadecimal under another key.
  void path(const char* key, std::string* in) {
    if (in->empty()) return;
    if (is_printable(*in) && is_utf8(*in))
      json[key] = *in;
    else
      json[std::string(key) + "_hex"] = to_hex(*in);
  }
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
  void unsigned_integer(const char* key, uint64_t* in) { json[key] = *in; }
  void optional_integer(const char* key, std::optional<int64_t>* in, int64_t, int64_t) {
    if (in->has_value()) json[key] = **in;
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
    JsonWriter inner;
    fields(inner, *in);
    json[key] = std::move(inner.json);
  }
  void integers_up_to(const char* key, std::vector<int64_t>* in, size_t, int64_t, int64_t) {
    json[key] = *in;
  }
  void part(const char* key, Json* in) {
    if (!in->empty()) json[key] = *in;
  }
  template <typename T>
  void optional_object(const char* key, T* in, bool given) {
    if (given) object(key, in);
  }
  template <typename T>
  void objects(const char* key, std::vector<T>* in, size_t) {
    Json list = Json::array();
    for (T& item : *in) {
      JsonWriter inner;
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

}  // namespace zoetrope
