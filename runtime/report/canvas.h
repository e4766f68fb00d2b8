// What plots share: the frame with axes and legend, and where values lie in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/report/plot.h"

namespace zoetrope {

inline constexpr int kPlotColors = 8;  // f0 ... f7 and k0 ... k7 of style.cc

struct LegendEntry {
  std::string name;
  size_t color = 0;
};

// In units of the picture, which is `kWidth` wide and scaled to the page.
class Canvas {
 public:
  static constexpr double kWidth = 640;

  // Leaves `left` for labels of rows; `height` is that of the plot proper.
  Canvas(std::string_view title, const std::vector<LegendEntry>& legend, double left,
         double height);

  double left() const { return left_; }
  double right() const { return kWidth - 16; }
  double top() const { return top_; }
  double bottom() const { return top_ + height_; }
  double x(const AxisRange& range, double value) const {
    return left() + range.place(value) * (right() - left());
  }
  double y(const AxisRange& range, double value) const {
    return bottom() - range.place(value) * height_;
  }

  void x_axis(const Axis& axis, const AxisRange& range);
  void y_axis(const Axis& axis, const AxisRange& range);
  void mark(const Mark& mark, const AxisRange& x, const AxisRange* y);
  void add(std::string_view svg) { body_ += svg; }
  // `anchor`: start, middle or end.
  void text(double x, double y, std::string_view anchor, std::string_view classes,
            std::string_view text);
  void line(double x1, double y1, double x2, double y2, std::string_view classes);
  // A box; `tip` is shown where the pointer rests.
  void box(double x, double y, double width, double height, size_t color, std::string_view tip);

  std::string finish() const;

 private:
  std::string title_, body_;
  double left_, top_ = 0, height_, below_ = 12;
};

// Colours repeat after kPlotColors, then paler.
std::string fill_class(size_t color);
std::string stroke_class(size_t color);

// About how wide a text of 12 units is.
double text_width(std::string_view text);

}  // namespace zoetrope
