#include "runtime/report/plot.h"

#include <algorithm>
#include <cmath>

#include "graph/status.h"
#include "runtime/report/canvas.h"
#include "runtime/report/escape.h"

namespace zoetrope {
namespace {

constexpr double kHeight = 260;
constexpr size_t kMostColumns = 1200;  // of a stacked plot: finer ones than a screen shows

// Room at the left for the ticks and the title of a vertical axis.
double left_of(const Axis& axis, const AxisRange& range) {
  double widest = 0;
  for (double tick : range.ticks())
    widest = std::max(widest, text_width(format_tick(axis.unit, tick)));
  return widest + 14 + (axis.title.empty() ? 0 : 16);
}

std::vector<double> all_of(const std::vector<Series>& series, bool y, const Axis& other) {
  std::vector<double> values;
  for (const Series& s : series)
    for (size_t i = 0; i < std::min(s.x.size(), s.y.size()); ++i) {
      const double across = y ? s.x[i] : s.y[i];
      if (!std::isfinite(across) || (other.scale == Scale::kLog && across <= 0)) continue;
      values.push_back(y ? s.y[i] : s.x[i]);
    }
  return values;
}

void add_marks(const std::vector<Mark>& marks, bool vertical, std::vector<double>* values) {
  for (const Mark& mark : marks)
    if (mark.vertical == vertical) values->push_back(mark.value);
}

void draw(const Series& s, size_t color, const AxisRange& x, const AxisRange& y, Canvas* c) {
  const size_t count = std::min(s.x.size(), s.y.size());
  std::string path, points;
  bool gap = true;
  for (size_t i = 0; i < count; ++i) {
    if (!x.shows(s.x[i]) || !y.shows(s.y[i])) {
      gap = true;
      continue;
    }
    const std::string at_x = coordinate(c->x(x, s.x[i])), at_y = coordinate(c->y(y, s.y[i]));
    path += str(gap ? "M" : "L", at_x, " ", at_y);
    gap = false;
    if (!s.points) continue;
    points += str("<circle class=\"p ", fill_class(color), "\" cx=\"", at_x, "\" cy=\"", at_y,
                  "\" r=\"4\">");
    const std::string& label = i < s.labels.size() ? s.labels[i] : s.name;
    points += str("<title>", escape_html(label), "</title></circle>\n");
  }
  if (s.line && !path.empty())
    c->add(str("<path class=\"l ", stroke_class(color),
               s.dashed || color >= kPlotColors ? " d" : "", "\" d=\"", path, "\"/>\n"));
  c->add(points);
}

// Neighbouring columns joined where there are too many: the one with the largest sum stands for
// all, so that peaks stay.
AreaPlot thinned(const AreaPlot& plot, size_t columns) {
  AreaPlot out = plot;
  if (columns <= kMostColumns) return out;
  out.edges.clear();
  for (Band& band : out.bands) band.values.clear();
  const auto sum = [&](size_t i) {
    double total = 0;
    for (const Band& band : plot.bands) total += i < band.values.size() ? band.values[i] : 0;
    return total;
  };
  for (size_t k = 0; k < kMostColumns; ++k) {
    const size_t begin = k * columns / kMostColumns, end = (k + 1) * columns / kMostColumns;
    size_t best = begin;
    for (size_t i = begin; i < end; ++i)
      if (sum(i) > sum(best)) best = i;
    out.edges.push_back(plot.edges[plot.steps ? begin : best]);
    for (size_t b = 0; b < plot.bands.size(); ++b)
      out.bands[b].values.push_back(best < plot.bands[b].values.size() ? plot.bands[b].values[best]
                                                                       : 0);
  }
  if (plot.steps) out.edges.push_back(plot.edges[columns]);
  return out;
}

}  // namespace

Series roofline(std::string name, double ceiling, double bytes_per_second, double from, double to) {
  Series series{.name = std::move(name), .x = {}, .y = {}};
  const double ridge = ceiling / bytes_per_second;
  std::vector<double> at{from, to};
  if (ridge > from && ridge < to) at.insert(at.begin() + 1, ridge);
  for (double intensity : at) {
    series.x.push_back(intensity);
    series.y.push_back(std::min(ceiling, intensity * bytes_per_second));
  }
  return series;
}

std::string to_svg(const LinePlot& plot) {
  std::vector<double> xs = all_of(plot.series, false, plot.y),
                      ys = all_of(plot.series, true, plot.x);
  add_marks(plot.marks, true, &xs);
  add_marks(plot.marks, false, &ys);
  const AxisRange x(plot.x, xs, /*from_zero=*/false), y(plot.y, ys, /*from_zero=*/true);
  std::vector<LegendEntry> legend;
  for (size_t i = 0; i < plot.series.size(); ++i)
    if (!plot.series[i].name.empty()) legend.push_back({plot.series[i].name, i});
  Canvas canvas(plot.title, legend, left_of(plot.y, y), kHeight);
  canvas.y_axis(plot.y, y);
  canvas.x_axis(plot.x, x);
  if (xs.empty()) canvas.text(320, canvas.top() + kHeight / 2, "middle", "s", "no values");
  for (const Mark& mark : plot.marks) canvas.mark(mark, x, &y);
  for (size_t i = 0; i < plot.series.size(); ++i) draw(plot.series[i], i, x, y, &canvas);
  return canvas.finish();
}

std::string to_svg(const AreaPlot& whole) {
  size_t columns = whole.edges.size();
  if (whole.steps) columns = columns > 0 ? columns - 1 : 0;
  const AreaPlot plot = thinned(whole, columns);
  columns = std::min(columns, kMostColumns);
  const auto value = [](const Band& band, size_t i) {
    const double v = i < band.values.size() ? band.values[i] : 0;
    return std::isfinite(v) && v > 0 ? v : 0;
  };
  // below[b][i]: the sum of what lies under band b.
  std::vector<std::vector<double>> below(plot.bands.size() + 1, std::vector<double>(columns, 0));
  for (size_t b = 0; b < plot.bands.size(); ++b)
    for (size_t i = 0; i < columns; ++i) below[b + 1][i] = below[b][i] + value(plot.bands[b], i);
  std::vector<double> xs = plot.edges, ys = below.back();
  add_marks(plot.marks, true, &xs);
  add_marks(plot.marks, false, &ys);
  const AxisRange x(plot.x, xs, false), y(plot.y, ys, true);
  std::vector<LegendEntry> legend;
  for (size_t b = 0; b < plot.bands.size(); ++b) legend.push_back({plot.bands[b].name, b});
  Canvas canvas(plot.title, legend, left_of(plot.y, y), kHeight);
  canvas.y_axis(plot.y, y);
  canvas.x_axis(plot.x, x);
  if (columns == 0) canvas.text(320, canvas.top() + kHeight / 2, "middle", "s", "no values");
  for (size_t b = 0; b < plot.bands.size() && columns > 0; ++b) {
    std::string forth, back;
    for (size_t i = 0; i < columns; ++i) {
      const std::string high = coordinate(canvas.y(y, below[b + 1][i]));
      const std::string low = coordinate(canvas.y(y, below[b][i]));
      const std::string at = coordinate(canvas.x(x, plot.edges[i]));
      const std::string next = plot.steps ? coordinate(canvas.x(x, plot.edges[i + 1])) : at;
      forth += str(i == 0 ? "M" : "L", at, " ", high);
      if (plot.steps) forth += str("L", next, " ", high);
      back = str("L", next, " ", low, plot.steps ? str("L", at, " ", low) : "", back);
    }
    canvas.add(str("<path class=\"", fill_class(b), "\" d=\"", forth, back, "Z\"><title>",
                   escape_html(plot.bands[b].name), "</title></path>\n"));
  }
  for (const Mark& mark : plot.marks) canvas.mark(mark, x, &y);
  return canvas.finish();
}

}  // namespace zoetrope
