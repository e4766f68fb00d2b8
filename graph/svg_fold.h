// Finds scopes of a graph that repeat ("blocks.0." to "blocks.29."), so that one can stand for all.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace zoetrope {

// Scopes whose nodes are the same but for names and weights.
struct Fold {
  std::string prefix;  // "blocks."
  int64_t first = 0, count = 0;
  int parent = -1;  // the fold in whose first scope it lies
};

struct Folding {
  std::vector<Fold> folds;  // parents stand before what lies in them
  std::vector<NodeId>
      stands_for;            // by node: itself, or the one of the first scope that is its like
  std::vector<int> fold_of;  // by node that stands for itself: its innermost fold, or -1
};

Folding find_folds(const Graph& graph);

}  // namespace zoetrope
