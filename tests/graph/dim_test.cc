#include "graph/dim.h"

#include <doctest/doctest.h>

using namespace zoetrope;

namespace {

int64_t value_of(std::string_view text, const Bindings& bindings = {}) {
  auto dim = Dim::parse(text);
  REQUIRE_MESSAGE(dim.ok(), dim.status().message());
  auto value = dim->evaluate(bindings);
  REQUIRE_MESSAGE(value.ok(), value.status().message());
  return *value;
}

}  // namespace

TEST_CASE("dimension expressions follow the usual precedence and associate to the left") {
  CHECK(value_of("2 + 3 * 4") == 14);
  CHECK(value_of("(2 + 3) * 4") == 20);
  CHECK(value_of("10 - 3 - 2") == 5);
  CHECK(value_of("frames * height + 1", {{"frames", 3}, {"height", 7}}) == 22);
}

TEST_CASE("division rounds toward minus infinity, or up, whatever the sign") {
  CHECK(value_of("floor_div(7, 2)") == 3);
  CHECK(value_of("ceil_div(7, 2)") == 4);
  CHECK(value_of("floor_div(-7, 2)") == -4);
  CHECK(value_of("ceil_div(-7, 2)") == -3);
  CHECK(value_of("mod(-7, 4)") == 1);
  CHECK(value_of("min(3, max(5, 4))") == 3);
}

TEST_CASE("printing and parsing are inverse") {
  const Dim f = Dim::symbol("frames"), h = Dim::symbol("height");
  const Dim dims[] = {f * (h + 1) - (f - h), ceil_div(f, 8) * h * 2, min(f, max(h, 3)) + -2,
                      mod(f - 1, 4), f - (h - 1) - 2};
  for (const Dim& dim : dims) {
    auto parsed = Dim::parse(dim.to_string());
    REQUIRE(parsed.ok());
    const Bindings bindings{{"frames", 21}, {"height", 13}};
    CHECK(*parsed->evaluate(bindings) == *dim.evaluate(bindings));
    CHECK(parsed->to_string() == dim.to_string());
  }
}

TEST_CASE("hostile expressions are errors, never crashes") {
  const std::string deep = std::string(200, '(') + "1" + std::string(200, ')');
  std::string wide = "1";
  for (int i = 0; i < 200; ++i) wide += "+a";
  for (const std::string& text :
       {std::string(""), std::string("1 +"), std::string("foo(1, 2)"), std::string("floor_div(1)"),
        std::string("99999999999999999999"), std::string("a b"), std::string("(1"),
        std::string(100000, '1'), deep, wide})
    CHECK_FALSE(Dim::parse(text).ok());
}

TEST_CASE("overflow, zero divisors and unknown symbols are named") {
  auto product = Dim::parse("a * a");
  REQUIRE(product.ok());
  CHECK_FALSE(product->evaluate({{"a", int64_t{1} << 40}}).ok());
  CHECK_FALSE(Dim::parse("floor_div(a, b)")->evaluate({{"a", 1}, {"b", 0}}).ok());
  auto missing = product->evaluate({});
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.status().message().find("'a'") != std::string::npos);
}
