// A configuration in JSON, read strictly: a key that nobody asks for is an error, so that nothing
// that it says is lost in silence.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// Reads give `otherwise` where a key is missing or null. The first error is kept for finish().
class Config {
 public:
  // `origin` stands before every message: "transformer/config.json". An empty text is an empty
  // configuration.
  static Result<Config> parse(std::string origin, const std::string& text);
  ~Config();
  Config(Config&&) noexcept;
  Config& operator=(Config&&) noexcept;

  const std::string& origin() const { return origin_; }
  bool empty() const;
  // Whether the key is there and not null. Does not count as reading it.
  bool has(const char* key) const;
  // Whether it is there and null. Does not count as reading it.
  bool is_null(const char* key) const;
  // Whether it is there and an object. Does not count as reading it either.
  bool is_object(const char* key) const;

  int64_t integer(const char* key, int64_t otherwise, int64_t low, int64_t high);
  double number(const char* key, double otherwise, double low, double high);
  bool flag(const char* key, bool otherwise);
  std::string text(const char* key, const std::string& otherwise,
                   std::initializer_list<std::string_view> known);
  std::vector<int64_t> integers(const char* key, std::vector<int64_t> otherwise, int64_t low,
                                int64_t high);
  // A list of such lists, at most 16 of at most 16.
  std::vector<std::vector<int64_t>> integer_lists(const char* key,
                                                  std::vector<std::vector<int64_t>> otherwise,
                                                  int64_t low, int64_t high);
  // [["res_x", {"num_layers": 4}], ["res_x", 4], ...]: a number stands for {`number`: it}. Each is
  // to be read and finished like this one. At most 64; none where the key is missing.
  struct Named;
  std::vector<Named> named_objects(const char* key, const char* number);
  std::vector<bool> flags(const char* key, std::vector<bool> otherwise);  // at most 16
  std::vector<double> numbers(const char* key, size_t limit);
  std::vector<std::string> texts(const char* key, size_t limit);
  // An object, to be read and finished like this one; none where the key is missing.
  std::optional<Config> object(const char* key);
  // {"0": "tench, Tinca tinca", ...}: `count` texts by number, empty where there is none; no texts
  // at all where the key is missing.
  std::vector<std::string> numbered_texts(const char* key, int64_t count);
  // The number `found`, of which `who` tells: "the weights' channels are". Absent it is
  // `otherwise`; left out, then it is right.
  void agree(const std::string& key, int64_t found, const char* who,
             std::optional<int64_t> otherwise = std::nullopt);
  // Absent, null, or this value; anything else is refused, with the reason.
  void only(const char* key, bool value, const char* reason);
  // A part of a pipeline: [library, class], of a modular one with an object behind them, or [null,
  // null] and null where it was left out.
  void component(const char* key);
  // Absent or null.
  void absent(const char* key, const char* reason);
  // What has no bearing on inference.
  void ignore(std::initializer_list<const char*> keys);

  void fail(Code code, const std::string& message);
  // The first error, else one that names a key nobody read. Keys with a leading underscore are
  // about the file, not the model.
  Status finish();

 private:
  struct Json;
  Config(std::string origin, std::unique_ptr<Json> json);
  void expected(const char* key, const std::string& what);

  std::string origin_;
  std::unique_ptr<Json> json_;
  std::set<std::string> read_;
  Status status_;
};

struct Config::Named {
  std::string name;
  Config config;
};

}  // namespace zoetrope
