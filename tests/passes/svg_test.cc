#include "graph/svg.h"

#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

namespace {

// The y of the box whose title is `title`, the last one drawn.
double y_of(const std::string& svg, const std::string& title) {
  const size_t text = svg.rfind(">" + title + "<");
  REQUIRE(text != std::string::npos);
  const size_t y = svg.rfind(" y=\"", text);
  return std::stod(svg.substr(y + 4));
}

}  // namespace

TEST_CASE("a picture escapes names, draws repeated blocks once, and constants by their readers") {
  Builder b("a<b&c");
  ValueId x = b.input("x", DType::kF32, {2, 4});
  for (int i = 0; i < 5; ++i) {
    const auto scope = b.scope(str("blocks.", i));
    x = b.silu(b.linear("fc", x, 4, 4, false));
  }
  b.output("y", b.mul(b.tanh(x), b.scalar(2)));
  const std::string svg = to_svg(finished(b));
  CHECK(svg.find("a&lt;b&amp;c") != std::string::npos);
  CHECK(svg.find("a<b") == std::string::npos);
  CHECK(svg.find("of 5 equal blocks") != std::string::npos);
  CHECK(svg.find("blocks.1.") == std::string::npos);
  CHECK(y_of(svg, "fill") == y_of(svg, "tanh"));
  CHECK(y_of(svg, "fill") > y_of(svg, "matmul"));
}
