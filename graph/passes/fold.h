// Folding: arithmetic on constants, and layout changes that change nothing.
#pragma once

#include "graph/graph.h"

namespace zoetrope {

// Bound graphs only. What a node computes from fills alone becomes a fill, and an iota scaled or
// shifted stays an iota: constants keep their size in the graph, tables are never written out.
// Casts, reshapes, transposes, slices, concats, pads, repeats and broadcasts that do nothing, or
// undo or continue one another, are removed or joined; adding 0 and multiplying by 1 too. Values
// may differ by the rounding that a removed operation did, and -0 may become 0.
Result<Graph> fold_constants(const Graph& graph);

}  // namespace zoetrope
