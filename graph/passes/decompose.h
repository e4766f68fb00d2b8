// Replaces fused nodes by the core nodes that define them.
#pragma once

#include <functional>

#include "graph/graph.h"

namespace zoetrope {

// Decomposes every fused node for which `should` says so. Names, order and the signature (inputs,
// outputs, states) of everything else stay.
Result<Graph> decompose_fused(const Graph& graph, const std::function<bool(const Node&)>& should);

}  // namespace zoetrope
