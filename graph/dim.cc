#include "graph/dim.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace zoetrope {

// op: 's' symbol, '+', '-', '*', '/' floor_div, 'c' ceil_div, '%' mod, '<' min, '>' max
struct Dim::Expr {
  char op;
  std::string symbol;
  Dim a, b;
};

namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxText = 512;

int64_t floor_divide(int64_t a, int64_t b) {
  return a / b - ((a % b != 0) && ((a < 0) != (b < 0)));
}

// False on overflow or division by zero.
bool apply(char op, int64_t a, int64_t b, int64_t* out) {
  switch (op) {
    case '+': return !__builtin_add_overflow(a, b, out);
    case '-': return !__builtin_sub_overflow(a, b, out);
    case '*': return !__builtin_mul_overflow(a, b, out);
    case '/':
    case 'c':
    case '%': {
      if (b <= 0)
        return false;  // divisors are positive by definition, which also rules out overflow
      const int64_t quotient = floor_divide(a, b);
      *out = op == '/'   ? quotient
             : op == '%' ? a - quotient * b
                         : quotient + (a - quotient * b != 0);
      return true;
    }
    case '<': *out = std::min(a, b); return true;
    case '>': *out = std::max(a, b); return true;
  }
  return false;
}

const char* function_name(char op) {
  switch (op) {
    case '/': return "floor_div";
    case 'c': return "ceil_div";
    case '%': return "mod";
    case '<': return "min";
    case '>': return "max";
  }
  return "";
}

}  // namespace

Dim Dim::symbol(std::string name) {
  Dim dim;
  dim.expr_ = std::make_shared<const Expr>(Expr{'s', std::move(name), 0, 0});
  return dim;
}

Dim Dim::combine(char op, const Dim& a, const Dim& b) {
  if (a.is_constant() && b.is_constant()) {
    int64_t value;
    if (apply(op, a.constant_, b.constant_, &value)) return value;
  }
  const bool b_is = b.is_constant(), a_is = a.is_constant();
  if ((op == '+' || op == '-') && b_is && b.constant_ == 0) return a;
  if (op == '+' && a_is && a.constant_ == 0) return b;
  if ((op == '*' || op == '/' || op == 'c') && b_is && b.constant_ == 1) return a;
  if (op == '*' && a_is && a.constant_ == 1) return b;
  Dim dim;
  dim.expr_ = std::make_shared<const Expr>(Expr{op, {}, a, b});
  return dim;
}

Dim operator+(const Dim& a, const Dim& b) { return Dim::combine('+', a, b); }
Dim operator-(const Dim& a, const Dim& b) { return Dim::combine('-', a, b); }
Dim operator*(const Dim& a, const Dim& b) { return Dim::combine('*', a, b); }
Dim floor_div(const Dim& a, const Dim& b) { return Dim::combine('/', a, b); }
Dim ceil_div(const Dim& a, const Dim& b) { return Dim::combine('c', a, b); }
Dim mod(const Dim& a, const Dim& b) { return Dim::combine('%', a, b); }
Dim min(const Dim& a, const Dim& b) { return Dim::combine('<', a, b); }
Dim max(const Dim& a, const Dim& b) { return Dim::combine('>', a, b); }

Result<int64_t> Dim::evaluate(const Bindings& bindings) const {
  if (is_constant()) return constant_;
  if (expr_->op == 's') {
    const auto it = bindings.find(expr_->symbol);
    if (it == bindings.end())
      return error(Code::kInvalidArgument, "no value for symbol '", expr_->symbol, "'");
    return it->second;
  }
  ZT_ASSIGN_OR_RETURN(const int64_t a, expr_->a.evaluate(bindings));
  ZT_ASSIGN_OR_RETURN(const int64_t b, expr_->b.evaluate(bindings));
  int64_t value;
  if (!apply(expr_->op, a, b, &value))
    return error(Code::kInvalidArgument, "cannot evaluate ", to_string(), " with operands ", a,
                 " and ", b, " (overflow, or a divisor that is not positive)");
  return value;
}

void Dim::collect_symbols(std::set<std::string>* symbols) const {
  if (is_constant()) return;
  if (expr_->op == 's') {
    symbols->insert(expr_->symbol);
    return;
  }
  expr_->a.collect_symbols(symbols);
  expr_->b.collect_symbols(symbols);
}

std::string Dim::to_string() const {
  if (is_constant()) return std::to_string(constant_);
  const Expr& e = *expr_;
  switch (e.op) {
    case 's': return e.symbol;
    case '+': return e.a.to_string() + " + " + e.b.to_string();
    case '-':
    case '*': {
      const auto wrap = [&](const Dim& d) {
        const bool sum = !d.is_constant() && (d.expr_->op == '+' || d.expr_->op == '-');
        return sum ? "(" + d.to_string() + ")" : d.to_string();
      };
      if (e.op == '-') return e.a.to_string() + " - " + wrap(e.b);
      return wrap(e.a) + " * " + wrap(e.b);
    }
    default:
      return std::string(function_name(e.op)) + "(" + e.a.to_string() + ", " + e.b.to_string() +
             ")";
  }
}

bool Dim::operator==(const Dim& other) const {
  if (is_constant() || other.is_constant())
    return is_constant() && other.is_constant() && constant_ == other.constant_;
  if (expr_ == other.expr_) return true;
  return expr_->op == other.expr_->op && expr_->symbol == other.expr_->symbol &&
         expr_->a == other.expr_->a && expr_->b == other.expr_->b;
}

// Recursive descent over the grammar in dim.h.
class DimParser {
 public:
  explicit DimParser(std::string_view text) : text_(text) {}

  Result<Dim> parse() {
    if (text_.size() > kMaxText)
      return error(Code::kInvalidArgument, "dimension expression longer than ", kMaxText, " bytes");
    ZT_ASSIGN_OR_RETURN(Dim dim, sum(0));
    skip();
    if (at_ != text_.size()) return fail("unexpected text");
    return dim;
  }

 private:
  Status fail(std::string_view what) const {
    return error(Code::kInvalidArgument, what, " at offset ", at_, " of dimension expression '",
                 text_, "'");
  }
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  Result<Dim> sum(int depth) {
    ZT_ASSIGN_OR_RETURN(Dim left, product(depth));
    for (int terms = 0;; ++terms) {
      const bool plus = take('+');
      if (!plus && !take('-')) return left;
      if (terms >= kMaxDepth) return fail("too many terms");
      ZT_ASSIGN_OR_RETURN(const Dim right, product(depth));
      left = Dim::combine(plus ? '+' : '-', left, right);
    }
  }

  Result<Dim> product(int depth) {
    ZT_ASSIGN_OR_RETURN(Dim left, factor(depth));
    for (int factors = 0; take('*'); ++factors) {
      if (factors >= kMaxDepth) return fail("too many factors");
      ZT_ASSIGN_OR_RETURN(const Dim right, factor(depth));
      left = Dim::combine('*', left, right);
    }
    return left;
  }

  Result<Dim> factor(int depth) {
    if (depth > kMaxDepth) return fail("nested too deeply");
    if (take('(')) {
      ZT_ASSIGN_OR_RETURN(Dim inner, sum(depth + 1));
      if (!take(')')) return fail("expected ')'");
      return inner;
    }
    skip();
    const size_t begin = at_;
    if (at_ < text_.size() && (text_[at_] == '-' || std::isdigit(byte(at_)))) {
      int64_t value = 0;
      const auto [end, ec] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (ec != std::errc()) return fail("bad integer");
      at_ = static_cast<size_t>(end - text_.data());
      return Dim(value);
    }
    while (at_ < text_.size() && (std::isalnum(byte(at_)) || text_[at_] == '_')) ++at_;
    if (at_ == begin) return fail("expected a number, symbol or '('");
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (!take('(')) return Dim::symbol(std::string(name));
    for (char op : {'/', 'c', '%', '<', '>'}) {
      if (name != function_name(op)) continue;
      ZT_ASSIGN_OR_RETURN(const Dim a, sum(depth + 1));
      if (!take(',')) return fail("expected ','");
      ZT_ASSIGN_OR_RETURN(const Dim b, sum(depth + 1));
      if (!take(')')) return fail("expected ')'");
      return Dim::combine(op, a, b);
    }
    return fail("unknown function");
  }

  unsigned char byte(size_t i) const { return static_cast<unsigned char>(text_[i]); }

  std::string_view text_;
  size_t at_ = 0;
};

Result<Dim> Dim::parse(std::string_view text) { return DimParser(text).parse(); }

}  // namespace zoetrope
