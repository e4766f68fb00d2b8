// What a picture of a graph shows: boxes of one or several nodes, in groups that stand for repeated
// scopes, and lines between them.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "graph/svg_fold.h"

namespace zoetrope {

struct DiagramBox {
  enum Kind { kNodes, kConstants, kInput, kOutput, kPort };
  Kind kind = kNodes;
  std::string title;
  std::vector<std::string> lines;
  std::string shape;  // of what comes out, as far as it is known
  std::string tip;    // all that the nodes' text says
  Rate rate = Rate::kStep;
  int group = 0;
  int order = 0;  // sources mostly stand before their readers
};

struct DiagramGroup {
  std::string title;  // "blocks.0 to blocks.29, all alike: × 30"
  int parent = -1;
  int order = 0;
};

struct Diagram {
  std::vector<DiagramBox> boxes;
  std::vector<DiagramGroup> groups;     // the first is the whole graph
  std::set<std::pair<int, int>> lines;  // boxes: from, to
};

// Nodes of a chain, of which each is read by the next alone, share a box; so do those that depend
// on sizes alone. Scalars stand in the boxes that read them.
Diagram make_diagram(const Graph& graph);

}  // namespace zoetrope
