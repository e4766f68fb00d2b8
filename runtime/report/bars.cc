#include <algorithm>
#include <cmath>

#include "graph/status.h"
#include "runtime/report/canvas.h"

namespace zoetrope {
namespace {

constexpr double kRow = 22, kThin = 13,
                 kGap = 8;  // heights: a stacked row, one of several, between
constexpr double kLongestLabel = 220;

// Ends in "…" where it is longer than there is room for; a character is never cut.
std::string shortened(const std::string& text) {
  if (text_width(text) <= kLongestLabel) return text;
  std::string out;
  for (size_t i = 0; i < text.size();) {
    size_t end = i + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
    if (text_width(out) + 14 > kLongestLabel) break;
    out += text.substr(i, end - i);
    i = end;
  }
  return out + "…";
}

double value_of(const std::vector<Band>& bands, size_t b, size_t i) {
  if (b >= bands.size() || i >= bands[b].values.size()) return 0;
  const double v = bands[b].values[i];
  return std::isfinite(v) && v > 0 ? v : 0;
}

std::vector<double> extents(const BarPlot& plot) {
  std::vector<double> all;
  for (size_t i = 0; i < plot.categories.size(); ++i) {
    double sum = 0;
    for (size_t b = 0; b < plot.bands.size(); ++b) {
      sum = value_of(plot.bands, b, i) + (plot.stacked ? sum : 0);
      all.push_back(sum);
      if (!plot.stacked) all.push_back(value_of(plot.highest, b, i));
    }
  }
  for (const Mark& mark : plot.marks) all.push_back(mark.value);
  return all;
}

class Bars {
 public:
  Bars(const BarPlot& plot, const AxisRange& range, Canvas* canvas)
      : plot_(plot), range_(range), canvas_(*canvas) {}

  void row(size_t i, double y) {
    double sum = 0;
    for (size_t b = 0; b < plot_.bands.size(); ++b) {
      const double value = value_of(plot_.bands, b, i);
      const double from = plot_.stacked ? sum : range_.low();
      const double to = plot_.stacked ? sum + value : value;
      const double top = plot_.stacked ? y : y + kThin * static_cast<double>(b);
      if (value > 0 && range_.shows(to)) bar(i, b, from, to, value, top);
      sum += value;
      if (!plot_.stacked) whisker(i, b, top + (kThin - 1) / 2);
    }
  }

 private:
  double place(double value) const {
    return range_.shows(value) ? canvas_.x(range_, value) : canvas_.left();
  }

  void bar(size_t i, size_t b, double from, double to, double value, double top) {
    const std::string tip = str(plot_.categories[i], plot_.bands[b].name.empty() ? "" : ", ",
                                plot_.bands[b].name, ": ", format_tick(plot_.value.unit, value));
    canvas_.box(place(from), top, place(to) - place(from), plot_.stacked ? kRow : kThin - 1, b,
                tip);
  }

  void whisker(size_t i, size_t b, double y) {
    const double low = value_of(plot_.lowest, b, i), high = value_of(plot_.highest, b, i);
    if (high <= low || !range_.shows(high)) return;
    canvas_.line(place(low), y, place(high), y, "w");
    for (double end : {low, high}) canvas_.line(place(end), y - 3, place(end), y + 3, "w");
  }

  const BarPlot& plot_;
  const AxisRange& range_;
  Canvas& canvas_;
};

}  // namespace

std::string to_svg(const BarPlot& plot) {
  const AxisRange range(plot.value, extents(plot), /*from_zero=*/true);
  double widest = 0;
  for (const std::string& name : plot.categories)
    widest = std::max(widest, text_width(shortened(name)));
  const double row =
      plot.stacked ? kRow : kThin * static_cast<double>(std::max<size_t>(plot.bands.size(), 1));
  std::vector<LegendEntry> legend;
  for (size_t b = 0; b < plot.bands.size(); ++b)
    if (!plot.bands[b].name.empty()) legend.push_back({plot.bands[b].name, b});
  const double rows = static_cast<double>(std::max<size_t>(plot.categories.size(), 1));
  Canvas canvas(plot.title, legend, widest + 16, rows * (row + kGap) + kGap);
  canvas.x_axis(plot.value, range);
  if (plot.categories.empty())
    canvas.text(320, canvas.top() + row / 2 + kGap + 4, "middle", "s", "no values");
  Bars bars(plot, range, &canvas);
  for (size_t i = 0; i < plot.categories.size(); ++i) {
    const double y = canvas.top() + kGap + static_cast<double>(i) * (row + kGap);
    canvas.text(canvas.left() - 6, y + row / 2 + 4, "end", "", shortened(plot.categories[i]));
    bars.row(i, y);
  }
  for (const Mark& mark : plot.marks) canvas.mark({mark.value, mark.label, true}, range, nullptr);
  return canvas.finish();
}

}  // namespace zoetrope
