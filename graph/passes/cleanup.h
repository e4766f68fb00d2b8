// Common and dead code.
#pragma once

#include "graph/graph.h"

namespace zoetrope {

// Nodes with the same op, attributes and inputs become one.
Result<Graph> eliminate_common(const Graph& graph);

// Removes nodes and weights that no output or state needs. Inputs stay: they are the signature.
Result<Graph> eliminate_dead(const Graph& graph);

}  // namespace zoetrope
