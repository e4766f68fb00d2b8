// Rewrites graphs as an ill-willed but careful writer would: they stay well formed more often than
// not, and mean something else.
#pragma once

#include <string>

#include "graph/graph.h"
#include "tests/fuzz/draw.h"

namespace zoetrope {

// Changes the graph somehow and says how. It may be anything afterwards: verify() decides.
std::string change_graph(Draw& draw, Graph* graph);

}  // namespace zoetrope
