// One component of a model (text encoder, denoiser, decoder, ...) from its symbolic graph to a
// plan.
#pragma once

#include "graph/passes/pipeline.h"
#include "graph/weights.h"
#include "runtime/plan/device_times.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/session.h"

namespace zoetrope {

struct CompileOptions {
  Bindings bindings;
  DType compute = DType::kF32;  // f32, bf16 or f16
  bool fuse = true;
  std::set<std::string> narrow_states = {};  // by name, kept in `compute`: narrowable_states()
  // Inputs that change from call to call, whatever rate the graph gives them.
  std::set<std::string> changing = {};
  // Bytes on the device: to keep it weights stay in the few bits in which they are stored, and are
  // streamed; 0: none.
  int64_t memory_budget = 0;
  PassObserver after_pass;  // sees the graph after each pass
  // Of the device and of the host, for estimates; null: what devices tell of themselves.
  const DeviceTimes* times = nullptr;
  const DeviceTimes* host_times = nullptr;
};

// Symbolic graph → bound → optimised → planned. Does not touch a weight's bytes.
// `host`: as make_plan takes it.
Result<Plan> compile_component(const Graph& graph, const WeightSource& weights, Device& device,
                               const CompileOptions& options, Device* host = nullptr);

}  // namespace zoetrope
