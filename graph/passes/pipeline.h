// The passes in order, from a bound graph to the one that is planned.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string_view>

#include "graph/graph.h"
#include "graph/passes/precision.h"

namespace zoetrope {

using PassObserver = std::function<void(std::string_view pass, const Graph& graph)>;

struct PassOptions {
  DType compute = DType::kF32;
  StorageDType storage;  // dtypes of the weights as stored
  bool fuse = true;
  std::set<std::string> narrow_states = {};  // as choose_precision takes them
  PassObserver observer;                     // called after each pass
};

// Names of all passes, in order.
std::span<const std::string_view> pass_names();

// Debug builds verify the graph after every pass.
Result<Graph> run_passes(Graph graph, const PassOptions& options);

}  // namespace zoetrope
