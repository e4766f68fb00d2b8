// One component of a model (text encoder, DiT, decoder, ...) from its symbolic graph to a session.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/weights.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/session.h"

namespace zoetrope {

struct CompileOptions {
  Bindings bindings;
  DType compute = DType::kF32;  // f32, bf16 or f16
  bool fuse = true;
  // Called with the graph's text after each pass that is named here ("all" for every one).
  std::vector<std::string> dump_after;
  std::function<void(std::string_view pass, const Graph& graph)> dump;
};

// Symbolic graph → bound → optimised → planned. Does not touch a weight's bytes.
Result<Plan> compile_component(const Graph& graph, const WeightSource& weights, Device& device,
                               const CompileOptions& options);

// A tensor on the host, in f32 or i32.
struct HostArray {
  Shape shape;
  std::vector<float> data;
};

}  // namespace zoetrope
