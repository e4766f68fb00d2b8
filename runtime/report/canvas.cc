#include "runtime/report/canvas.h"

#include <algorithm>

#include "graph/status.h"
#include "runtime/report/escape.h"
#include "runtime/report/style.h"

namespace zoetrope {

std::string fill_class(size_t color) {
  return str("f", color % kPlotColors, color >= kPlotColors ? " o" : "");
}

std::string stroke_class(size_t color) { return str("k", color % kPlotColors); }

double text_width(std::string_view text) {
  const auto characters = std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  });
  return 6.6 * static_cast<double>(characters);
}

Canvas::Canvas(std::string_view title, const std::vector<LegendEntry>& legend, double left,
               double height)
    : title_(title), left_(left), height_(height) {
  double y = 18;
  if (!title.empty()) text(8, y, "start", "t", title);
  double x = 8;
  if (!legend.empty() && !title.empty()) y += 20;
  for (const LegendEntry& entry : legend) {
    const double wide = 16 + text_width(entry.name) + 14;
    if (x > 8 && x + wide > kWidth) {
      x = 8;
      y += 17;
    }
    body_ += str("<rect class=\"", fill_class(entry.color), "\" x=\"", coordinate(x), "\" y=\"",
                 coordinate(y - 9), "\" width=\"10\" height=\"10\"/>");
    text(x + 15, y, "start", "", entry.name);
    x += wide;
  }
  top_ = y + 14;
}

void Canvas::text(double x, double y, std::string_view anchor, std::string_view classes,
                  std::string_view text) {
  body_ += str("<text x=\"", coordinate(x), "\" y=\"", coordinate(y), "\"");
  if (anchor != "start") body_ += str(" text-anchor=\"", anchor, "\"");
  if (!classes.empty()) body_ += str(" class=\"", classes, "\"");
  body_ += str(">", escape_html(text), "</text>\n");
}

void Canvas::line(double x1, double y1, double x2, double y2, std::string_view classes) {
  body_ += str("<line class=\"", classes, "\" x1=\"", coordinate(x1), "\" y1=\"", coordinate(y1),
               "\" x2=\"", coordinate(x2), "\" y2=\"", coordinate(y2), "\"/>\n");
}

void Canvas::box(double x, double y, double width, double height, size_t color,
                 std::string_view tip) {
  body_ += str("<rect class=\"", fill_class(color), "\" x=\"", coordinate(x), "\" y=\"",
               coordinate(y), "\" width=\"", coordinate(std::max(width, 0.0)), "\" height=\"",
               coordinate(std::max(height, 0.0)), "\">");
  if (!tip.empty()) body_ += str("<title>", escape_html(tip), "</title>");
  body_ += "</rect>\n";
}

void Canvas::x_axis(const Axis& axis, const AxisRange& range) {
  double free_from = 0;  // labels that would touch are left out
  for (double tick : range.ticks()) {
    const double at = x(range, tick);
    line(at, top(), at, bottom(), "g");
    const std::string label = format_tick(axis.unit, tick);
    const double half = text_width(label) / 2;
    if (at - half < free_from) continue;
    text(std::min(at, kWidth - half), bottom() + 16, "middle", "s", label);
    free_from = at + half + 6;
  }
  below_ = 24;
  if (axis.title.empty()) return;
  text((left() + right()) / 2, bottom() + 34, "middle", "s", axis.title);
  below_ = 42;
}

void Canvas::y_axis(const Axis& axis, const AxisRange& range) {
  double free_below = bottom() + 20;
  for (double tick : range.ticks()) {
    const double at = y(range, tick);
    line(left(), at, right(), at, "g");
    if (at > free_below - 13) continue;
    text(left() - 6, at + 4, "end", "s", format_tick(axis.unit, tick));
    free_below = at;
  }
  if (axis.title.empty()) return;
  const std::string at = str(coordinate(13), " ", coordinate((top() + bottom()) / 2));
  body_ += str("<text class=\"s\" text-anchor=\"middle\" transform=\"translate(", at,
               ") rotate(-90)\">", escape_html(axis.title), "</text>\n");
}

void Canvas::mark(const Mark& mark, const AxisRange& x_range, const AxisRange* y_range) {
  const bool vertical = mark.vertical || y_range == nullptr;
  const AxisRange& range = vertical ? x_range : *y_range;
  if (!range.shows(mark.value) || mark.value < range.low() || mark.value > range.high()) return;
  if (vertical) {
    const double at = x(range, mark.value);
    line(at, top(), at, bottom(), "m");
    const bool behind = at + 4 + text_width(mark.label) < kWidth;
    text(behind ? at + 4 : at - 4, top() + 12, behind ? "start" : "end", "s", mark.label);
  } else {
    const double at = y(range, mark.value);
    line(left(), at, right(), at, "m");
    text(right() - 4, at > top() + 16 ? at - 5 : at + 14, "end", "s", mark.label);
  }
}

std::string Canvas::finish() const {
  return str("<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ",
             coordinate(kWidth), " ", coordinate(bottom() + below_),
             "\" role=\"img\" aria-label=\"", escape_html(title_), "\">\n", body_, "</svg>");
}

std::string standalone_svg(const std::string& svg) {
  const size_t head = svg.find('>') + 1;
  return str(svg.substr(0, head), "<style>", color_css(), plot_css(),
             "</style><rect class=\"b\" width=\"100%\" height=\"100%\"/>", svg.substr(head), "\n");
}

}  // namespace zoetrope
