// Pages and plots: what is in them, checked as text here and as XML and HTML by page_test.py, for
// which this program writes a page with every kind of section and hostile strings in all of them.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "runtime/media/png.h"
#include "runtime/report/axis.h"
#include "runtime/report/escape.h"
#include "runtime/report/page.h"
#include "tests/support/temporary_folder.h"

namespace zoetrope {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kHostile = "</title></text><script src='http://a.example/x'>\"&\x01\xff]]>";

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

std::vector<double> marked(const Axis& axis, const std::vector<double>& values, bool from_zero) {
  return AxisRange(axis, values, from_zero).ticks();
}

TEST_CASE("text is escaped, and what is not text is replaced") {
  CHECK(escape_html("<a href=\"x\">'&'</a>") ==
        "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  CHECK(escape_html("é漢🎬\n\t") == "é漢🎬\n\t");
  CHECK(escape_html("\x1b[31m") == "\xef\xbf\xbd[31m");
  // Overlong, a surrogate, beyond U+10FFFF, cut off, a stray continuation, a C1 control.
  for (const char* bad : {"\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe6\xbc", "\x80"}) {
    const std::string out = escape_html(bad);
    CHECK(count_of(out, "\xef\xbf\xbd") == std::string(bad).size());
    CHECK(out.size() == 3 * std::string(bad).size());
  }
  CHECK(escape_html("\xc2\x9b") == "\xef\xbf\xbd");
}

TEST_CASE("base64 is RFC 4648's") {
  const auto of = [](std::string_view text) {
    return base64({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  CHECK(of("") == "");
  CHECK(of("f") == "Zg==");
  CHECK(of("fo") == "Zm8=");
  CHECK(of("foo") == "Zm9v");
  CHECK(of("foobar") == "Zm9vYmFy");
  CHECK(of("\xff\xfe\xfd") == "//79");
}

TEST_CASE("ticks are round in the axis's unit") {
  CHECK(marked({"", Unit::kNumber}, {0.3, 4.7}, true) == std::vector<double>{0, 1, 2, 3, 4, 5});
  CHECK(marked({"", Unit::kBytes}, {0, 0x1p30 * 20}, true) ==
        std::vector<double>{0, 0x1p30 * 5, 0x1p30 * 10, 0x1p30 * 15, 0x1p30 * 20});
  CHECK(marked({"", Unit::kNumber, Scale::kLog}, {3, 4000}, false) ==
        std::vector<double>{1, 10, 100, 1000, 10000});
  CHECK(marked({"", Unit::kNumber, Scale::kLog}, {1, 8}, false) ==
        std::vector<double>{1, 2, 5, 10});
  CHECK(marked({"", Unit::kNumber, Scale::kLog}, {1e-9, 1e12}, false).size() <= 9);
  // Nothing to show, one value, only what a log axis has no place for.
  for (const Scale scale : {Scale::kLinear, Scale::kLog})
    for (const std::vector<double>& values : {std::vector<double>{},
                                              {5.0},
                                              {kNan, INFINITY},
                                              {0.0},
                                              {-3.0},
                                              {1e300, -1e300},
                                              {1e-320}}) {
      const AxisRange range({"", Unit::kNumber, scale}, values, true);
      REQUIRE(range.ticks().size() >= 2);
      CHECK(range.ticks().size() <= 20);
      CHECK(range.low() < range.high());
      for (double value : values)
        if (range.shows(value)) {
          CHECK(range.place(value) >= 0);
          CHECK(range.place(value) <= 1);
        }
    }
}

TEST_CASE("ticks read as people write them") {
  CHECK(format_tick(Unit::kBytes, 8 * 0x1p30) == "8 GiB");
  CHECK(format_tick(Unit::kBytes, 1.5 * 0x1p20) == "1.5 MiB");
  CHECK(format_tick(Unit::kSeconds, 0.0025) == "2.5 ms");
  CHECK(format_tick(Unit::kSeconds, 600) == "10 min");
  CHECK(format_tick(Unit::kNumber, 2.5e12) == "2.5T");
  CHECK(format_tick(Unit::kNumber, 0.001) == "0.001");
  CHECK(format_tick(Unit::kPercent, 0.15) == "15%");
}

TEST_CASE("a value lies where its axis says") {
  const AxisRange linear({}, {0, 10}, true), log({"", Unit::kNumber, Scale::kLog}, {1, 100}, false);
  CHECK(linear.place(2.5) == doctest::Approx(0.25));
  CHECK(log.place(10) == doctest::Approx(0.5));
  CHECK_FALSE(log.shows(0));
  CHECK_FALSE(linear.shows(kNan));
}

TEST_CASE("a line breaks where a value is missing") {
  LinePlot plot{"", {}, {}, {{"a", {0, 1, 2, 3, 4}, {1, 2, kNan, 4, 5}, true, true}}};
  const std::string svg = to_svg(plot);
  CHECK(count_of(svg, "<circle") == 4);
  const size_t path = svg.find(" d=\"M");
  REQUIRE(path != std::string::npos);
  CHECK(count_of(svg.substr(path, svg.find('"', path + 4) - path), "M") == 2);
}

TEST_CASE("a roofline bends where bytes no longer bound") {
  const Series roof = roofline("bf16", 1000, 10, 1, 1e4);
  CHECK(roof.x == std::vector<double>{1, 100, 1e4});
  CHECK(roof.y == std::vector<double>{10, 1000, 1000});
  CHECK(roofline("", 1000, 10, 200, 1e4).y == std::vector<double>{1000, 1000});
}

TEST_CASE("many columns are thinned without losing the peak") {
  AreaPlot plot{"", {}, {}, {}, {{"a", std::vector<double>(50000, 1.0)}}};
  for (int i = 0; i <= 50000; ++i) plot.edges.push_back(i);
  plot.bands[0].values[31234] = 9;
  AreaPlot small{"", {}, {}, {0, 1, 2}, {{"a", {1, 9}}}};
  const std::string svg = to_svg(plot);
  CHECK(svg.size() < 200000);
  // Both axes go up to the same tick, so the peak lies at the same height in both.
  const std::string peak_at = to_svg(small);
  const size_t at = peak_at.find(" d=\"M");
  const std::string second = peak_at.substr(peak_at.find('L', peak_at.find('L', at) + 1) + 1);
  const std::string height =
      second.substr(second.find(' ') + 1, second.find('L') - second.find(' ') - 1);
  CHECK(count_of(svg, " " + height + "L") == 2);
}

TEST_CASE("bars stack, and stand beside each other with whiskers") {
  BarPlot plot{"t", {"", Unit::kSeconds}, {"one", "two"}, {{"a", {1, 2}}, {"b", {1, 1}}}};
  CHECK(count_of(to_svg(plot), "<title>") == 4);
  const std::string stacked = to_svg(plot);
  plot.stacked = false;
  plot.lowest = {{"", {0.5, 1}}, {"", {1, 1}}};
  plot.highest = {{"", {1.5, 3}}, {"", {1, 1}}};
  const std::string beside = to_svg(plot);
  CHECK(count_of(beside, "class=\"w\"") == 6);  // two whiskers of three lines; two have no spread
  CHECK(count_of(stacked, "class=\"w\"") == 0);
}

TEST_CASE("a page with every kind of section") {
  Page page(kHostile, kHostile);
  page.heading(kHostile);
  page.subheading("sub");
  page.text(kHostile, Tone::kWarn);
  page.code(kHostile);
  page.table({{{kHostile, false}, {"n", true}}, {{kHostile, {"1.5", Tone::kBad}}, {"short"}}},
             kHostile);
  const Axis log{kHostile, Unit::kNumber, Scale::kLog};
  page.plot(LinePlot{kHostile,
                     log,
                     log,
                     {{kHostile, {1, 10, 100}, {1, kNan, 0}, true, true, false, {kHostile}},
                      roofline("roof", 1e12, 1e9, 0.1, 1e5)},
                     {{5, kHostile, true}, {7, kHostile, false}, {kNan, "", false}}},
            kHostile);
  page.plot(LinePlot{"empty", {}, {}, {}});
  std::vector<Band> many;
  for (int i = 0; i < 20; ++i) many.push_back({str("band ", i), {1, -1, kNan}});
  page.plot(AreaPlot{kHostile, {}, {"", Unit::kBytes}, {0, 1, 2, 3}, many, true, {{3, "budget"}}});
  page.plot(AreaPlot{"lines", {}, {}, {0, 1, 2}, many, false});
  page.plot(AreaPlot{"none", {}, {}, {}, {}, true});
  page.plot(BarPlot{kHostile,
                    {"", Unit::kSeconds},
                    {kHostile, std::string(300, 'w')},
                    {{kHostile, {1, 2}}},
                    true,
                    {},
                    {},
                    {{1, kHostile}}});
  page.plot(BarPlot{"none", {}, {}, {}});
  const std::vector<uint8_t> rgb(3 * 4 * 2, 200);
  page.images(std::vector<PageImage>{{encode_png(rgb.data(), 4, 2), kHostile},
                                     {encode_png(rgb.data(), 2, 4), "second"}});
  const std::string html = page.html();
  CHECK(html.find("<script") == std::string::npos);
  CHECK(count_of(html, "&lt;script") >= 12);
  CHECK(html.find("nan") == std::string::npos);

  const TemporaryFolder folder;
  REQUIRE(page.write(folder / "page.html").ok());
  std::ifstream file(folder / "page.html");
  std::stringstream read;
  read << file.rdbuf();
  CHECK(read.str() == html);
  CHECK(folder.listing() == "page.html");
  CHECK_FALSE(page.write(folder / "missing/page.html").ok());
  if (const char* path = std::getenv("ZOETROPE_REPORT_PAGE")) {
    REQUIRE(page.write(path).ok());
    std::ofstream(str(path, ".svg"))
        << standalone_svg(to_svg(BarPlot{"t", {}, {"a"}, {{"b", {1}}}}));
  }
}

}  // namespace
}  // namespace zoetrope
