// Plots as SVG text: what a report's page embeds, and pictures of their own. Plain data in; every
// string is escaped; values that are not finite (or not above 0 on a log axis) are left out.
#pragma once

#include <string>
#include <vector>

#include "runtime/report/axis.h"

namespace zoetrope {

// A line across the plot, such as a budget or a bound.
struct Mark {
  double value = 0;
  std::string label;
  bool vertical = false;  // at an x, else at a y
};

struct Series {
  std::string name;
  std::vector<double> x, y;
  bool line = true, points = false;
  bool dashed = false;
  std::vector<std::string> labels = {};  // by point: shown where the pointer rests
};

// Lines and points.
struct LinePlot {
  std::string title;
  Axis x, y;
  std::vector<Series> series;
  std::vector<Mark> marks = {};
};

// min(ceiling, intensity · bytes_per_second) over `intensity` (FLOP a byte) from `from` to `to`.
Series roofline(std::string name, double ceiling, double bytes_per_second, double from, double to);

struct Band {
  std::string name;
  std::vector<double> values;  // not negative
};

// Bands on top of each other. Steps: band i is constant between x[i] and x[i + 1], so x has one
// value more than each band; else as many, joined by lines.
struct AreaPlot {
  std::string title;
  Axis x, y;
  std::vector<double> edges;
  std::vector<Band> bands;
  bool steps = true;
  std::vector<Mark> marks = {};  // a vertical one begins a part: its label stands behind it
};

// Horizontal bars, a category a row: bands behind each other, or beside each other.
struct BarPlot {
  std::string title;
  Axis value;
  std::vector<std::string> categories;
  std::vector<Band> bands;  // a value a category
  bool stacked = true;
  // A whisker of each bar where given, in the order of `bands`: lowest and highest. Not stacked.
  std::vector<Band> lowest = {}, highest = {};
  std::vector<Mark> marks = {};  // at values
};

// For a page, which brings the style; and a file of its own, which has it inside.
std::string to_svg(const LinePlot& plot);
std::string to_svg(const AreaPlot& plot);
std::string to_svg(const BarPlot& plot);
std::string standalone_svg(const std::string& svg);

}  // namespace zoetrope
