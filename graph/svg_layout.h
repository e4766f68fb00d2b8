// Places boxes in layers, from top to bottom, and leads lines between them (Sugiyama, Tagawa and
// Toda 1981): layers by the longest path, orders by barycentres, places by least squares.
#pragma once

#include <utility>
#include <vector>

namespace zoetrope {

struct PlacedBox {
  double width = 0, height = 0;
  bool sinks = false;   // stands just above its first reader, not as high as it can
  double x = 0, y = 0;  // out: the upper left corner
};

struct PlacedLine {
  int from = 0, to = 0;
  std::vector<std::pair<double, double>> points = {};  // out: from the lower edge to the upper one
};

struct PlacedSize {
  double width = 0, height = 0;
};

// Boxes are given in an order in which what is read mostly stands before its readers; lines
// against that order are drawn and decide nothing.
PlacedSize place(std::vector<PlacedBox>* boxes, std::vector<PlacedLine>* lines);

}  // namespace zoetrope
