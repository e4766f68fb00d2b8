// Typed attributes of nodes: described once an op (AttrSpec), then verified, printed, compared and
// serialised generically.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "graph/dim.h"
#include "graph/status.h"

namespace zoetrope {

// Integers are `Dim`s, so that any of them may depend on the symbols; binding makes them constant.
enum class AttrType : uint8_t {
  kBool = 0,
  kInt = 1,
  kFloat = 2,
  kString = 3,
  kInts = 4,
  kFloats = 5
};

using AttrValue =
    std::variant<bool, Dim, double, std::string, std::vector<Dim>, std::vector<double>>;

inline AttrType attr_type(const AttrValue& value) { return static_cast<AttrType>(value.index()); }
std::string attr_to_string(const AttrValue& value);

// A small map, sorted by name.
class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<std::string_view, AttrValue>> items) {
    for (const auto& [name, value] : items) set(name, value);
  }

  void set(std::string_view name, AttrValue value);
  const AttrValue* find(std::string_view name) const;
  const std::vector<std::pair<std::string, AttrValue>>& items() const { return items_; }
  bool operator==(const Attrs&) const = default;

  // Typed reads. Only for attributes that the op's spec declares and the verifier has accepted: the
  // verifier fills in defaults, and kInt/kInts are constants in a bound graph.
  bool get_bool(std::string_view name) const { return std::get<bool>(at(name)); }
  double get_float(std::string_view name) const { return std::get<double>(at(name)); }
  const std::string& get_string(std::string_view name) const {
    return std::get<std::string>(at(name));
  }
  int64_t get_int(std::string_view name) const { return std::get<Dim>(at(name)).constant(); }
  std::vector<int64_t> get_ints(std::string_view name) const;
  const std::vector<double>& get_floats(std::string_view name) const {
    return std::get<std::vector<double>>(at(name));
  }

 private:
  const AttrValue& at(std::string_view name) const {
    const AttrValue* value = find(name);
    ZT_CHECK(value != nullptr);
    return *value;
  }
  std::vector<std::pair<std::string, AttrValue>> items_;
};

struct AttrSpec {
  std::string_view name;
  AttrType type;
  bool required = true;
  AttrValue default_value = false;  // ignored when required
};

}  // namespace zoetrope
