// Reads JSON strictly, into what is given: every number bounded, every text clean, and a key that
// nobody asks for an error. The text may be hostile. Structs list their fields once, by
// `fields(reader, struct)`.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "graph/status.h"
#include "graph/text.h"

namespace zoetrope {

enum class JsonKeys : uint8_t {
  kOptional,  // an absent key leaves what was there, except names and variants
  kRequired,
};

// One object. The first problem wins and names its place; finish() also names keys that nobody
// asked for. After a problem nothing more is read, and outputs may be anything in their bounds.
class JsonReader {
 public:
  using Json = nlohmann::json;

  // `origin` begins every message ("recipe"), `path` what it says of places ("stages[2]."); `json`
  // must live on.
  JsonReader(const Json& json, std::string origin, std::string path = "",
             JsonKeys keys = JsonKeys::kOptional)
      : json_(json), origin_(std::move(origin)), path_(std::move(path)), keys_(keys) {
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

  // What a person wrote: lines and tabs, and any other character.
  void free_text(const char* key, std::string* out, size_t limit) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_string() || value->get_ref<const std::string&>().size() > limit)
      return fail(key, str("text of at most ", limit, " bytes"));
    *out = value->get<std::string>();
  }

  // The name of a file; bytes that are no clean text stand under KEY_hex.
  void path(const char* key, std::string* out) {
    const std::string hex_key = std::string(key) + "_hex";
    std::string hex;
    text(hex_key.c_str(), &hex, 2 * kMaxPath);
    if (hex.empty()) {
      text(key, out, kMaxPath);
    } else if (find(key) != nullptr) {
      fail(hex_key, str("left out where '", key, "' is given"));
    } else if (auto bytes = from_hex(hex); bytes.has_value()) {
      *out = std::move(*bytes);
    } else {
      fail(hex_key, "pairs of hexadecimal digits");
    }
    if (out->find('\0') != std::string::npos) fail(key, "without a zero byte");
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
  void optional_flag(const char* key, std::optional<bool>* out) {
    if (find(key) != nullptr) flag(key, &out->emplace());
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
    if (!is_integer(*value, low, high))
      return fail(key, str("an integer between ", low, " and ", high));
    *out = static_cast<T>(value->get<int64_t>());
  }

  void unsigned_integer(const char* key, uint64_t* out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number_unsigned()) return fail(key, "an integer from 0 to 2^64 - 1");
    *out = value->get<uint64_t>();
  }

  void optional_integer(const char* key, std::optional<int64_t>* out, int64_t low, int64_t high) {
    if (find(key) == nullptr) return;
    int64_t read = low;
    integer(key, &read, low, high);
    *out = read;
  }

  // Exactly `count` of them.
  void integers(const char* key, std::vector<int64_t>* out, size_t count, int64_t low,
                int64_t high) {
    if (const Json* value = find(key)) integers_of(*value, key, out, count, count, low, high);
  }
  // Up to `limit` of them.
  void integers_up_to(const char* key, std::vector<int64_t>* out, size_t limit, int64_t low,
                      int64_t high) {
    if (const Json* value = find(key)) integers_of(*value, key, out, 0, limit, low, high);
  }
  void integer_lists(const char* key, std::vector<std::vector<int64_t>>* out, size_t count,
                     size_t limit, int64_t low, int64_t high) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() != count)
      return fail(key, str("a list of ", count, " lists"));
    out->clear();
    for (const Json& item : *value)
      integers_of(item, key, &out->emplace_back(), 0, limit, low, high);
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
    JsonReader inner(*value, origin_, path_ + key + ".", keys_);
    fields(inner, *out);
    status_ = inner.finish();
  }

  // One that may be left out; `given` is the writer's to know.
  template <typename T>
  void optional_object(const char* key, T* out, bool /*given*/) {
    object(key, out);
  }

  template <typename T>
  void objects(const char* key, std::vector<T>* out, size_t limit) {
    const Json* value = find(key);
    if (value == nullptr || !status_.ok()) return;
    if (!value->is_array() || value->size() > limit)
      return fail(key, str("a list of at most ", limit, " objects"));
    out->clear();
    for (size_t i = 0; i < value->size() && status_.ok(); ++i) {
      JsonReader inner((*value)[i], origin_, str(path_, key, "[", i, "]."), keys_);
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

  // A part that somebody else reads.
  void part(const char* key, Json* out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_object()) return fail(key, "an object");
    *out = *value;
  }

  void require(bool good, const char* key, std::string_view expected) {
    if (!good) fail(key, expected);
  }

  void fail(std::string_view key, std::string_view expected) {
    if (status_.ok())
      status_ = error(Code::kDataLoss, origin_, ": '", place(key), "' must be ", expected);
  }

  Status finish() {
    if (!status_.ok() || !json_.is_object()) return status_;
    for (const auto& [key, value] : json_.items())
      if (!seen_.contains(key))
        return error(Code::kDataLoss, origin_, ": unknown key '", path_,
                     is_printable(key) ? key.substr(0, 64) : std::string("?"), "'");
    return Status();
  }

 private:
  // The path of a key, or of the object itself.
  std::string place(std::string_view key) const {
    return key.empty() && !path_.empty() ? path_.substr(0, path_.size() - 1)
                                         : path_ + std::string(key);
  }

  const Json* find(const char* key) {
    seen_.insert(key);
    if (!json_.is_object() || !status_.ok()) return nullptr;
    const auto it = json_.find(key);
    if (it != json_.end()) return &*it;
    if (keys_ == JsonKeys::kRequired) fail(key, "given");
    return nullptr;
  }

  bool is_integer(const Json& value, int64_t low, int64_t high) const {
    const bool fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
    return fits && value.get<int64_t>() >= low && value.get<int64_t>() <= high;
  }

  void integers_of(const Json& value, const char* key, std::vector<int64_t>* out, size_t fewest,
                   size_t most, int64_t low, int64_t high) {
    const bool good = value.is_array() && value.size() >= fewest && value.size() <= most &&
                      std::all_of(value.begin(), value.end(),
                                  [&](const Json& item) { return is_integer(item, low, high); });
    if (!good)
      return fail(key, str("a list of ", fewest == most ? str(fewest) : str("at most ", most),
                           " integers between ", low, " and ", high));
    *out = value.get<std::vector<int64_t>>();
  }

  const Json& json_;
  std::string origin_, path_;
  JsonKeys keys_;
  std::set<std::string> seen_;
  Status status_;
};

}  // namespace zoetrope
