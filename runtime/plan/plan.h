// A compiled component: an ordered list of kernel calls with arena offsets, nothing left to decide.
// Plain data: printable, comparable, made without touching a weight's bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "runtime/backend/backend.h"

namespace zoetrope {

enum class Space : uint8_t {
  kNone,    // absent input, or a weight that its kernel has packed
  kArena,   // offset into the device's arena
  kWeight,  // a raw weight: index into Plan::raw_weights
};

struct TensorRef {
  Space space = Space::kNone;
  int64_t offset = 0;  // bytes into the arena
  int64_t bytes = 0;
  int32_t weight = -1;
};

struct PlanCall {
  NodeId node = kNone;
  Rate rate = Rate::kStep;  // the phase that runs it
  KernelInfo kernel;
  std::vector<TensorRef> inputs;
  std::vector<TensorRef> outputs;
  TensorRef workspace;
  Cost cost;
};

// Where a graph input, output or state lives for the whole life of the plan.
struct PlanBinding {
  std::string name;
  ValueId value = kNone;
  TensorRef ref;
};

// After a run `next` is copied over `state`.
struct PlanState {
  TensorRef state, next;
};

struct PlanMemory {
  int64_t arena_bytes = 0;  // what the session allocates: activations, workspace, carried values
  int64_t lower_bound_bytes = 0;  // largest sum of live bytes at any call: no plan can be smaller
  int64_t carried_bytes = 0;     // part of the arena that lives across phases (inputs, K/V, tables)
  int64_t packed_bytes = 0;      // weights that kernels repacked
  int64_t raw_weight_bytes = 0;  // weights read in place
  std::array<int64_t, kRateCount> phase_peak_bytes{};  // largest live bytes within each phase

  int64_t total_bytes() const { return arena_bytes + packed_bytes + raw_weight_bytes; }
};

struct Plan {
  std::string component;
  std::string device;
  Bindings bindings;
  Graph graph;                  // bound and optimised: what the calls implement
  std::vector<PlanCall> calls;  // sorted by rate, then topologically
  std::vector<PlanBinding> inputs;
  std::vector<PlanBinding> outputs;
  std::vector<PlanState> states;
  std::vector<ValueId> raw_weights;     // read in place by at least one kernel
  std::vector<ValueId> packed_weights;  // only ever read while packing
  PlanMemory memory;
  std::array<Cost, kRateCount> phase_cost{};
  double estimated_step_seconds = 0;  // kTimestep + kStep at the device's rates; 0 when unknown
};

// For errors: "node 'blocks.0.q', matmul(bf16[2, 1536], bf16[1536, 1536])".
std::string describe(const Graph& graph, const Node& node);

}  // namespace zoetrope
