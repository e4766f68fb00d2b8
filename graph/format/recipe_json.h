// Reads and writes structs whose fields are listed once, by `fields(visitor, struct)`. For
// recipe.cc alone.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope::recipe_json {

using Json = nlohmann::json;

inline constexpr size_t kMaxName = 512;  // bytes, as everywhere in the file

inline bool is_printable(std::string_view text) {
  for (char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  return true;
}

// One object. The first problem wins and names its place; finish() also names keys that nobody
// asked for. Absent keys leave what was there, except names, which must be given.
class Reader {
 public:
  Reader(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
    if (!json.is_object()) fail("", "an object");
  }

  void name(const char* key, std::string* out) {
    optional_name(key, out);
    if (status_.ok() && out->empty()) fail(key, "given, and not empty");
  }
  void optional_name(const char* key, std::string* out) { text(key, out, kMaxName); }

  void text(const char* key, std::string* out, size_t limit) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_string() || value->get_ref<const std::string&>().size() > limit ||
        !is_printable(value->get_ref<const std::string&>()))
      return fail(key, str("text of at most ", limit, " bytes without control characters"));
    *out = value->get<std::string>();
  }

  void texts(const char* key, std::vector<std::string>* out, size_t limit) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() > limit)
      return fail(key, str("a list of at most ", limit, " texts"));
    out->clear();
    for (const Json& item : *value) {
      if (!item.is_string() || item.get_ref<const std::string&>().size() > kMaxName ||
          !is_printable(item.get_ref<const std::string&>()))
        return fail(key, "a list of texts without control characters");
      out->push_back(item.get<std::string>());
    }
  }

  void flag(const char* key, bool* out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return fail(key, "true or false");
    *out = value->get<bool>();
  }

  template <typename E>
  void choice(const char* key, E* out, std::span<const std::string_view> names) {
    const Json* value = find(key);
    if (value == nullptr) return;
    std::string all;
    for (size_t i = 0; i < names.size(); ++i) {
      if (value->is_string() && value->get_ref<const std::string&>() == names[i]) {
        *out = static_cast<E>(i);
        return;
      }
      all += str(i == 0 ? "" : ", ", names[i]);
    }
    fail(key, "one of " + all);
  }

  void word(const char* key, std::string* out, std::span<const std::string_view> names) {
    size_t which = 0;
    if (find(key) == nullptr) return;
    choice(key, &which, names);
    if (status_.ok()) *out = names[which];
  }

  template <typename T>
  void integer(const char* key, T* out, int64_t low, int64_t high) {
    const Json* value = find(key);
    if (value == nullptr) return;
    const bool fits = value->is_number_integer() &&
                      (!value->is_number_unsigned() || value->get<uint64_t>() <= INT64_MAX);
    if (!fits || value->get<int64_t>() < low || value->get<int64_t>() > high)
      return fail(key, str("an integer between ", low, " and ", high));
    *out = static_cast<T>(value->get<int64_t>());
  }

  void number(const char* key, double* out, double low, double high) {
    const Json* value = find(key);
    if (value == nullptr) return;
    const double read = value->is_number() ? value->get<double>() : low - 1;
    if (!(read >= low && read <= high))
      return fail(key, str("a number between ", low, " and ", high));
    *out = read;
  }

  void optional_number(const char* key, std::optional<double>* out, double low, double high) {
    if (find(key) == nullptr) return;
    double read = low;
    number(key, &read, low, high);
    *out = read;
  }

  template <typename T>
  void numbers(const char* key, std::vector<T>* out, size_t limit, double low, double high) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() > limit)
      return fail(key, str("a list of at most ", limit, " numbers"));
    std::vector<T> read;
    for (const Json& item : *value) {
      const double x = item.is_number() ? item.get<double>() : low - 1;
      if (!(x >= low && x <= high)) return fail(key, str("numbers between ", low, " and ", high));
      read.push_back(static_cast<T>(x));
    }
    *out = std::move(read);
  }

  // A nested struct, listed by fields().
  template <typename T>
  void object(const char* key, T* out) {
    const Json* value = find(key);
    if (value == nullptr || !status_.ok()) return;
    Reader inner(*value, path_ + key + ".");
    fields(inner, *out);
    status_ = inner.finish();
  }

  template <typename T>
  void objects(const char* key, std::vector<T>* out, size_t limit) {
    const Json* value = find(key);
    if (value == nullptr || !status_.ok()) return;
    if (!value->is_array() || value->size() > limit)
      return fail(key, str("a list of at most ", limit, " objects"));
    out->clear();
    for (size_t i = 0; i < value->size() && status_.ok(); ++i) {
      Reader inner((*value)[i], str(path_, key, "[", i, "]."));
      fields(inner, out->emplace_back());
      status_ = inner.finish();
    }
  }

  // One of several structs; `key` says which.
  template <typename... T>
  void variant(const char* key, std::variant<T...>* out, std::span<const std::string_view> names) {
    size_t which = out->index();
    choice(key, &which, names);
    if (find(key) == nullptr) fail(key, "given");
    if (!status_.ok()) return;
    size_t at = 0;
    ((at++ == which ? static_cast<void>(out->template emplace<T>()) : void()), ...);
    std::visit([&](auto& held) { fields(*this, held); }, *out);
  }

  void require(bool good, const char* key, std::string_view expected) {
    if (!good) fail(key, expected);
  }

  void fail(std::string_view key, std::string_view expected) {
    if (status_.ok())
      status_ = error(Code::kDataLoss, "recipe: '", path_, key, "' must be ", expected);
  }

  Status finish() {
    if (!status_.ok() || !json_.is_object()) return status_;
    for (const auto& [key, value] : json_.items())
      if (!seen_.contains(key))
        return error(Code::kDataLoss, "recipe: unknown key '", path_,
                     is_printable(key) ? key.substr(0, 64) : std::string("?"), "'");
    return Status();
  }

 private:
  const Json* find(const char* key) {
    seen_.insert(key);
    if (!json_.is_object()) return nullptr;
    const auto it = json_.find(key);
    return it == json_.end() ? nullptr : &*it;
  }

  const Json& json_;
  std::string path_;
  std::set<std::string> seen_;
  Status status_;
};

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
