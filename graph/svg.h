// Draws a graph as a self-contained SVG picture.
#pragma once

#include <string>

#include "graph/graph.h"

namespace zoetrope {

// Layers from top (inputs) to bottom (outputs), coloured by rate. Repeated blocks ("blocks.N.") are
// drawn once, for N = 0, with the count beside them.
std::string to_svg(const Graph& graph);

}  // namespace zoetrope
