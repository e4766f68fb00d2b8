// A kernel for every node of a graph: what stands before placing anything.
#pragma once

#include <map>
#include <vector>

#include "graph/graph.h"
#include "graph/passes/derive_weights.h"
#include "runtime/backend/backend.h"

namespace zoetrope {

struct NodeKernel {
  KernelInfo info;
  int32_t distinct = -1;  // nodes with equal numbers have the same kernel; -1: a view needs none
  bool on_host = false;
};

// A weight that a node expands for the only node that reads it, in a layout of that one's kernel.
struct ExpandedOutput {
  NodeId reader = kNone;
  PackedInput packed;
};

struct NodeKernels {
  Graph graph;  // fused nodes that the device lacks replaced, weights derived
  std::vector<DerivedWeight> derived;  // sorted by name
  std::vector<NodeKernel> nodes;       // by node of `graph`
  int32_t distinct = 0;
  std::map<ValueId, ExpandedOutput> packed_outputs;
};

// As make_plan() says it (planner.h). Asks the device about equal nodes once.
Result<NodeKernels> find_kernels(Graph graph, Device& device, Device* host,
                                 const StaysEncoded& stays);

}  // namespace zoetrope
