#include "converters/config.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>

namespace zoetrope {

struct Config::Json {
  nlohmann::json value;

  // Null where the key is missing or null.
  const nlohmann::json* find(const std::string& key) const {
    const auto it = value.find(key);
    return it == value.end() || it->is_null() ? nullptr : &*it;
  }
};

namespace {

// Python writes numbers that JSON does not have, such as DPM-Solver++'s "lambda_min_clipped":
// -Infinity. As texts they can be passed over, and are errors where a number is asked for.
std::string quote_unbounded(const std::string& text) {
  std::string out;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\' && i + 1 < text.size()) {
      out.append(text, i++, 2);
      continue;
    }
    if (text[i] == '"') quoted = !quoted;
    size_t length = 0;
    if (!quoted)
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"})
        if (length == 0 && text.compare(i, word.size(), word) == 0) length = word.size();
    if (length == 0) {
      out += text[i];
      continue;
    }
    out += '"' + text.substr(i, length) + '"';
    i += length - 1;
  }
  return out;
}

}  // namespace

Config::Config(std::string origin, std::unique_ptr<Json> json)
    : origin_(std::move(origin)), json_(std::move(json)) {}
Config::~Config() = default;
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;

Result<Config> Config::parse(std::string origin, const std::string& text) {
  auto json = std::make_unique<Json>();
  json->value = text.empty() ? nlohmann::json::object()
                             : nlohmann::json::parse(quote_unbounded(text), nullptr,
                                                     /*allow_exceptions=*/false);
  if (!json->value.is_object())
    return error(Code::kDataLoss, origin, ": not a JSON object; is the file damaged?");
  return Config(std::move(origin), std::move(json));
}

bool Config::empty() const { return json_->value.empty(); }
bool Config::has(const char* key) const { return json_->find(key) != nullptr; }

bool Config::is_null(const char* key) const {
  const auto it = json_->value.find(key);
  return it != json_->value.end() && it->is_null();
}

bool Config::is_object(const char* key) const {
  const auto* value = json_->find(key);
  return value != nullptr && value->is_object();
}

void Config::fail(Code code, const std::string& message) {
  if (status_.ok()) status_ = error(code, origin_, ": ", message);
}

void Config::expected(const char* key, const std::string& what) {
  fail(Code::kUnsupported,
       str("'", key, "' is ", json_->value[key].dump().substr(0, 80), "; expected ", what));
}

int64_t Config::integer(const char* key, int64_t otherwise, int64_t low, int64_t high) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return otherwise;
  const bool fits =
      value->is_number_integer() && value->get<int64_t>() >= low && value->get<int64_t>() <= high;
  if (!fits) expected(key, str("a whole number from ", low, " to ", high));
  return fits ? value->get<int64_t>() : otherwise;
}

double Config::number(const char* key, double otherwise, double low, double high) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return otherwise;
  const bool fits =
      value->is_number() && value->get<double>() >= low && value->get<double>() <= high;
  if (!fits) expected(key, str("a number from ", low, " to ", high));
  return fits ? value->get<double>() : otherwise;
}

bool Config::flag(const char* key, bool otherwise) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) expected(key, "true or false");
  return value->is_boolean() ? value->get<bool>() : otherwise;
}

std::string Config::text(const char* key, const std::string& otherwise,
                         std::initializer_list<std::string_view> known) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return otherwise;
  std::string list;
  for (const std::string_view k : known) {
    if (value->is_string() && value->get_ref<const std::string&>() == k) return std::string(k);
    list += str(list.empty() ? "" : ", ", k);
  }
  expected(key, list);
  return otherwise;
}

std::vector<int64_t> Config::integers(const char* key, std::vector<int64_t> otherwise, int64_t low,
                                      int64_t high) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return otherwise;
  std::vector<int64_t> read;
  bool fits = value->is_array() && !value->empty() && value->size() <= 16;
  for (size_t i = 0; fits && i < value->size(); ++i) {
    const auto& item = (*value)[i];
    fits = item.is_number_integer() && item.get<int64_t>() >= low && item.get<int64_t>() <= high;
    if (fits) read.push_back(item.get<int64_t>());
  }
  if (!fits) expected(key, str("a list of whole numbers from ", low, " to ", high));
  return fits ? read : otherwise;
}

std::vector<std::vector<int64_t>> Config::integer_lists(const char* key,
                                                        std::vector<std::vector<int64_t>> otherwise,
                                                        int64_t low, int64_t high) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return otherwise;
  std::vector<std::vector<int64_t>> read;
  bool fits = value->is_array() && value->size() <= 16;
  for (size_t i = 0; fits && i < value->size(); ++i) {
    const auto& list = (*value)[i];
    fits = list.is_array() && !list.empty() && list.size() <= 16;
    read.emplace_back();
    for (size_t k = 0; fits && k < list.size(); ++k) {
      fits = list[k].is_number_integer() && list[k].get<int64_t>() >= low &&
             list[k].get<int64_t>() <= high;
      if (fits) read.back().push_back(list[k].get<int64_t>());
    }
  }
  if (!fits) expected(key, str("lists of whole numbers from ", low, " to ", high));
  return fits ? read : otherwise;
}

std::vector<Config::Named> Config::named_objects(const char* key, const char* number) {
  read_.insert(key);
  const auto* value = json_->find(key);
  std::vector<Named> read;
  if (value == nullptr) return read;
  bool fits = value->is_array() && value->size() <= 64;
  for (size_t i = 0; fits && i < value->size(); ++i) {
    const auto& item = (*value)[i];
    fits = item.is_array() && item.size() == 2 && item[0].is_string() &&
           (item[1].is_object() || item[1].is_number_integer());
    if (!fits) break;
    nlohmann::json object = item[1];
    if (!object.is_object()) object = {{number, item[1]}};
    std::string name = item[0].get<std::string>();
    std::string origin = str(origin_, ": '", key, "' ", i, " (", name.substr(0, 40), ")");
    read.push_back(
        {std::move(name), Config(std::move(origin), std::make_unique<Json>(Json{object}))});
  }
  if (!fits) expected(key, "a list of [name, {...}]");
  return fits ? std::move(read) : std::vector<Named>();
}

std::vector<bool> Config::flags(const char* key, std::vector<bool> otherwise) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return otherwise;
  std::vector<bool> read;
  bool fits = value->is_array() && value->size() <= 16;
  for (size_t i = 0; fits && i < value->size(); ++i) {
    fits = (*value)[i].is_boolean();
    if (fits) read.push_back((*value)[i].get<bool>());
  }
  if (!fits) expected(key, "a list of true and false");
  return fits ? read : otherwise;
}

std::vector<double> Config::numbers(const char* key, size_t limit) {
  read_.insert(key);
  const auto* value = json_->find(key);
  std::vector<double> read;
  if (value == nullptr) return read;
  bool fits = value->is_array() && value->size() <= limit;
  for (size_t i = 0; fits && i < value->size(); ++i) {
    fits = (*value)[i].is_number();
    if (fits) read.push_back((*value)[i].get<double>());
  }
  if (!fits) expected(key, str("a list of at most ", limit, " numbers"));
  return read;
}

std::vector<std::string> Config::texts(const char* key, size_t limit) {
  read_.insert(key);
  const auto* value = json_->find(key);
  std::vector<std::string> read;
  if (value == nullptr) return read;
  bool fits = value->is_array() && value->size() <= limit;
  for (size_t i = 0; fits && i < value->size(); ++i) {
    fits = (*value)[i].is_string();
    if (fits) read.push_back((*value)[i].get<std::string>());
  }
  if (!fits) expected(key, str("a list of at most ", limit, " names"));
  return read;
}

std::optional<Config> Config::object(const char* key) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) {
    expected(key, "an object");
    return std::nullopt;
  }
  return Config(str(origin_, ": '", key, "'"), std::make_unique<Json>(Json{*value}));
}

std::vector<std::string> Config::numbered_texts(const char* key, int64_t count) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return {};
  std::vector<std::string> read(static_cast<size_t>(count));
  bool fits = value->is_object();
  for (auto it = value->begin(); fits && it != value->end(); ++it) {
    int64_t number = -1;
    const char* end = it.key().data() + it.key().size();
    const auto parsed = std::from_chars(it.key().data(), end, number);
    fits = parsed.ec == std::errc() && parsed.ptr == end && number >= 0 && number < count &&
           it.value().is_string();
    if (fits) read[static_cast<size_t>(number)] = it.value().get<std::string>();
  }
  if (!fits)
    fail(Code::kUnsupported,
         str("'", key, "' must map numbers from 0 to ", count - 1, " to texts"));
  return read;
}

void Config::agree(const std::string& key, int64_t found, const char* who,
                   std::optional<int64_t> otherwise) {
  const int64_t stated = integer(key.c_str(), otherwise.value_or(found), 0, INT64_MAX);
  if (stated != found)
    fail(Code::kDataLoss, str("'", key, "' is ", stated, ", but ", who, " ", found));
}

void Config::only(const char* key, bool value, const char* reason) {
  if (flag(key, value) != value)
    fail(Code::kUnsupported, str("'", key, "' is ", value ? "false" : "true", ": ", reason));
}

void Config::absent(const char* key, const char* reason) {
  read_.insert(key);
  if (const auto* value = json_->find(key))
    fail(Code::kUnsupported, str("'", key, "' is ", value->dump().substr(0, 80), ": ", reason));
}

void Config::component(const char* key) {
  read_.insert(key);
  const auto* value = json_->find(key);
  if (value == nullptr) return;
  const bool modular = value->is_array() && value->size() == 3 && (*value)[2].is_object();
  const bool fits = value->is_array() && (value->size() == 2 || modular) &&
                    (((*value)[0].is_string() && (*value)[1].is_string()) ||
                     ((*value)[0].is_null() && (*value)[1].is_null()));
  if (!fits) expected(key, "[library, class], or null");
}

void Config::ignore(std::initializer_list<const char*> keys) {
  read_.insert(keys.begin(), keys.end());
}

Status Config::finish() {
  if (!status_.ok()) return status_;
  for (const auto& [key, value] : json_->value.items())
    if (!key.starts_with('_') && !read_.contains(key))
      return error(Code::kUnsupported, origin_, ": ", nlohmann::json(key).dump().substr(0, 80),
                   " (", value.dump().substr(0, 80),
                   ") is not known; what it changes would be lost, so nothing is converted");
  return Status();
}

}  // namespace zoetrope
