#include "graph/svg.h"

#include <regex>

#include "graph/svg_layout.h"
#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

namespace {

struct Rect {
  std::string kind;
  double x, y, width, height;
};

std::vector<Rect> rects(const std::string& svg) {
  const std::regex form(
      "<rect class=\"([a-z]+)\" x=\"([0-9.-]+)\" y=\"([0-9.-]+)\" width=\"([0-9.]+)\" "
      "height=\"([0-9.]+)\"");
  std::vector<Rect> found;
  for (auto it = std::sregex_iterator(svg.begin(), svg.end(), form); it != std::sregex_iterator();
       ++it)
    found.push_back({(*it)[1], std::stod((*it)[2]), std::stod((*it)[3]), std::stod((*it)[4]),
                     std::stod((*it)[5])});
  return found;
}

bool overlap(const Rect& a, const Rect& b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
bool contains(const Rect& a, const Rect& b) {
  return a.x <= b.x && a.y <= b.y && b.x + b.width <= a.x + a.width &&
         b.y + b.height <= a.y + a.height;
}

// Boxes stand apart, inside the picture and wholly inside or outside of every frame.
void check_readable(const std::string& svg) {
  std::smatch size;
  REQUIRE(std::regex_search(svg, size, std::regex("width=\"([0-9.]+)\" height=\"([0-9.]+)\"")));
  const Rect picture{"", 0, 0, std::stod(size[1]), std::stod(size[2])};
  const auto all = rects(svg);
  for (size_t i = 0; i < all.size(); ++i) {
    CHECK(contains(picture, all[i]));
    for (size_t k = 0; k < i; ++k) {
      const bool frame = all[i].kind == "group" || all[k].kind == "group";
      CAPTURE(i);
      CAPTURE(k);
      CHECK((!overlap(all[i], all[k]) ||
             (frame && (contains(all[i], all[k]) || contains(all[k], all[i])))));
    }
  }
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

double y_of(const std::string& svg, const std::string& words) {
  const size_t text = svg.find(">" + words + "<");
  REQUIRE_MESSAGE(text != std::string::npos, words);
  const size_t y = svg.rfind(" y=\"", text);
  return std::stod(svg.substr(y + 4));
}

}  // namespace

TEST_CASE("repeated scopes are drawn once and counted, and names are escaped") {
  Builder b("a<b&c");
  ValueId x = b.input("x", DType::kF32, {2, 4});
  for (int i = 0; i < 5; ++i) {
    const auto scope = b.scope(str("blocks.", i));
    x = b.add(x, b.silu(b.linear("fc", x, 4, 4, false)));
  }
  b.output("y", b.tanh(x));
  const std::string svg = to_svg(finished(b));
  CHECK(svg.find("a&lt;b&amp;c") != std::string::npos);
  CHECK(svg.find("a<b") == std::string::npos);
  CHECK(svg.find("blocks.0 to blocks.4, all alike: × 5") != std::string::npos);
  CHECK(count(svg, "class=\"group\"") == 1);
  CHECK(count(svg, ">silu<") == 1);
  CHECK(svg.find(">matmul [4, 4]<") != std::string::npos);
  CHECK(y_of(svg, "x") < y_of(svg, "silu"));
  CHECK(y_of(svg, "silu") < y_of(svg, "tanh"));
  check_readable(svg);
}

TEST_CASE("only what is alike is folded, and folds lie in folds") {
  Builder b("g");
  ValueId x = b.input("x", DType::kF32, {2, 4});
  int64_t width = 4;
  for (int i = 0; i < 3; ++i) {
    const auto level = b.scope(str("levels.", i));
    for (int k = 0; k < 2; ++k) {
      const auto scope = b.scope(str("parts.", k));
      x = b.silu(b.linear("fc", x, width, width, false));
    }
    if (i == 0) x = b.linear("grow", x, width, 8, false);
    if (i == 0) width = 8;
  }
  b.output("y", x);
  const std::string svg = to_svg(finished(b));
  // The first level is narrower and grows; the others are alike.
  CHECK(svg.find("levels.1 to levels.2, all alike: × 2") != std::string::npos);
  CHECK(svg.find("levels.0.parts.0 to levels.0.parts.1, all alike: × 2") != std::string::npos);
  CHECK(svg.find("levels.1.parts.0 to levels.1.parts.1, all alike: × 2") != std::string::npos);
  CHECK(count(svg, "class=\"group\"") == 3);
  CHECK(count(svg, ">matmul [4, 4]<") == 1);
  CHECK(count(svg, ">matmul [8, 8]<") == 1);
  check_readable(svg);
}

TEST_CASE("a scope that reads what comes between is not folded into the one before") {
  Builder b("g");
  ValueId x = b.input("x", DType::kF32, {2, 4});
  for (int i = 0; i < 3; ++i) {
    {
      const auto scope = b.scope(str("parts.", i));
      x = b.silu(b.linear("fc", x, 4, 4, false));
    }
    if (i == 0) x = b.tanh(x);
  }
  b.output("y", x);
  const std::string svg = to_svg(finished(b));
  CHECK(svg.find("parts.1 to parts.2, all alike: × 2") != std::string::npos);
  CHECK(count(svg, ">matmul [4, 4]<") == 2);
  CHECK(y_of(svg, "tanh") < y_of(svg, "parts.1 to parts.2, all alike: × 2"));
}

TEST_CASE("a bound graph shows every shape; scalars stand in their readers") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {Dim::symbol("batch"), 4});
  b.output("y", b.mul(b.linear("fc", x, 4, 6, false), b.scalar(3)));
  const auto graph = b.finish();
  REQUIRE(graph.ok());
  CHECK(to_svg(*graph).find(">f32[batch, 4]<") != std::string::npos);
  const auto bound = zoetrope::bind(*graph, {{"batch", 7}});
  REQUIRE(bound.ok());
  const std::string svg = to_svg(*bound);
  CHECK(svg.find(">→ f32[7, 6]<") != std::string::npos);
  CHECK(svg.find(">mul 3<") != std::string::npos);
  CHECK(count(svg, "class=\"box\"") == 3);  // input, linear with what follows it, output
  CHECK(count(svg, "class=\"legend\"") == 7);
}

TEST_CASE("what sizes alone decide is one box") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {Dim::symbol("n"), 4});
  ValueId table = b.exp(b.iota(Dim::symbol("n"), 0, 1));
  table = b.reshape(b.add(b.cos(table), b.sin(table)), {Dim::symbol("n"), 1});
  b.output("y", b.mul(x, table));
  const auto graph = b.finish();
  REQUIRE(graph.ok());
  const std::string svg = to_svg(*graph);
  CHECK(svg.find("6 nodes that sizes decide:") != std::string::npos);
  CHECK(count(svg, "class=\"box\"") == 4);
}

TEST_CASE("lines that go back do not confuse the layers") {
  std::vector<PlacedBox> boxes(3, {.width = 10, .height = 10});
  std::vector<PlacedLine> lines = {{0, 1}, {1, 2}, {2, 0}, {0, 2}};
  const PlacedSize size = place(&boxes, &lines);
  CHECK(boxes[0].y < boxes[1].y);
  CHECK(boxes[1].y < boxes[2].y);
  CHECK(lines[3].points.size() == 5);  // past the middle layer
  CHECK(size.height > 3 * 10);
}
