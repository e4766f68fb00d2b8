// Integer expressions over symbols (frames, height, width, text_length, batch): the dims of a graph
// as the file stores it. Text form, which the file format uses:
//   expr := term (('+' | '-') term)*      term := factor ('*' factor)*
//   factor := integer | symbol | '(' expr ')' | fn '(' expr ',' expr ')'
//   fn := floor_div | ceil_div | mod | min | max
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "graph/status.h"

namespace zoetrope {

using Bindings = std::map<std::string, int64_t, std::less<>>;

class Dim {
 public:
  Dim(int64_t constant = 0) : constant_(constant) {}
  Dim(int constant) : constant_(constant) {}
  static Dim symbol(std::string name);
  // Bounded in length and depth: the text may come from a hostile file.
  static Result<Dim> parse(std::string_view text);

  bool is_constant() const { return expr_ == nullptr; }
  // Only when is_constant().
  int64_t constant() const {
    ZT_CHECK(is_constant());
    return constant_;
  }
  // Overflow, division by zero and unknown symbols are errors that print the expression.
  Result<int64_t> evaluate(const Bindings& bindings) const;
  void collect_symbols(std::set<std::string>* symbols) const;
  std::string to_string() const;
  // Structural equality after constant folding.
  bool operator==(const Dim& other) const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  friend Dim floor_div(const Dim& a, const Dim& b);
  friend Dim ceil_div(const Dim& a, const Dim& b);
  friend Dim mod(const Dim& a, const Dim& b);
  friend Dim min(const Dim& a, const Dim& b);
  friend Dim max(const Dim& a, const Dim& b);

 private:
  struct Expr;
  static Dim combine(char op, const Dim& a, const Dim& b);
  friend class DimParser;

  int64_t constant_ = 0;
  std::shared_ptr<const Expr> expr_;  // null for a constant
};

}  // namespace zoetrope
