// Draws a graph as a self-contained SVG picture.
#pragma once

#include <string>

#include "graph/graph.h"

namespace zoetrope {

// From inputs at the top to outputs at the bottom, coloured by rate, with a legend. Scopes that
// repeat ("blocks.0." to "blocks.29.") are drawn once, in a frame that says how often; shapes are
// shown as far as they are known: all of them in a bound graph. Boxes tell all of their nodes where
// the pointer rests.
std::string to_svg(const Graph& graph);

}  // namespace zoetrope
