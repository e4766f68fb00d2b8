// A compiled component: an ordered list of kernel calls with arena offsets, nothing left to decide.
// Plain data: printable, comparable, made without touching a weight's bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/passes/derive_weights.h"
#include "runtime/backend/backend.h"

namespace zoetrope {

enum class Space : uint8_t {
  kNone,    // absent input
  kArena,   // offset into the device's arena
  kWeight,  // index into Plan::weights
  kSlot,    // offset into a slot that weights are streamed through
  kHost,    // offset into the host's memory, of calls that run there
};

struct TensorRef {
  Space space = Space::kNone;
  int64_t offset = 0;  // bytes into the arena, the weight or the slot
  int64_t bytes = 0;
  int32_t weight = -1;  // which weight or slot
};

// A weight in one of the forms in which kernels read it.
struct PlanWeight {
  ValueId value = kNone;  // its name is the tensor's
  int64_t bytes = 0;
  std::string layout = {};  // as in PackedInput; empty: as the model file has it
  // A call and an input of it that ask for the form: Device::pack() takes their names.
  int32_t call = -1, input = -1;
  bool on_host = false;   // read by a call that runs on the host
  bool streamed = false;  // is on the device only while a group of Plan::stream needs it
};

struct StreamedWeight {
  int32_t weight = -1;  // of Plan::weights
  int64_t offset = 0;   // in its slot
};

// Calls [first_call, end_call) of one phase and the weights that must lie in a slot meanwhile.
struct StreamGroup {
  int32_t first_call = 0, end_call = 0;
  int32_t slot = 0;
  int64_t bytes = 0;  // of the slot, from its beginning
  std::vector<StreamedWeight> weights = {};
};

// How weights pass through a device that cannot hold them all: while one group runs, the next one's
// weights are copied into another slot (or, on the host, packed into the only one before it runs).
struct StreamPlan {
  int32_t slots = 0;  // 0: every weight stays
  int64_t slot_bytes = 0;
  std::vector<StreamGroup> groups;  // every call of a phase that has any belongs to one
  int64_t host_bytes = 0;           // pinned host memory that streamed weights are copied from
  int64_t step_bytes = 0;           // copied at every step
  double step_seconds = 0;  // what that takes, estimated, if nothing else is done; 0: unknown
};

// The same bytes on the device and on the host.
struct HostCopy {
  TensorRef device, host;
};

struct PlanCall {
  NodeId node = kNone;
  Rate rate = Rate::kStep;  // the phase, all calls of one rate, that runs it
  KernelInfo kernel;
  int32_t distinct = -1;  // calls with equal numbers are the same kernel
  std::vector<TensorRef> inputs;
  std::vector<TensorRef> outputs;
  TensorRef workspace;
  int64_t live_bytes = 0;  // of the arena in use meanwhile, workspace included
  Cost cost;
  double seconds = 0;  // estimated; 0: unknown
  // Runs on the host: the device has no kernel for it. What it reads is copied there before, what
  // it gives is copied back.
  bool on_host = false;
  std::vector<HostCopy> fetched = {}, given = {};
  // Of a call that expands a weight: which call reads that, as which input, where it has the weight
  // in a layout of its own. The output lies so in the arena.
  int32_t reader = -1, reader_input = -1;
};

// Where a graph input, output or state lives for the whole life of the plan.
struct PlanBinding {
  std::string name;
  ValueId value = kNone;
  TensorRef ref;
};

// After a run `next` is copied over `state`, unless it was written there. States lie at the
// arena's beginning in the order of their names, so that plans with the same states have them at
// the same places.
struct PlanState {
  TensorRef state, next;
  std::string name;
  bool read = true;  // else what is in it before a run does not matter
};

struct PlanMemory {
  int64_t arena_bytes = 0;  // what the session allocates: activations, workspace, carried values
  int64_t lower_bound_bytes = 0;  // largest sum of live bytes at any call: no plan can be smaller
  int64_t carried_bytes = 0;     // part of the arena that lives across phases (inputs, K/V, tables)
  int64_t packed_bytes = 0;      // weights that stay, in layouts of kernels
  int64_t raw_weight_bytes = 0;  // weights that stay, as the model file has them
  int64_t slot_bytes = 0;        // what others are streamed through
  int64_t host_bytes = 0;        // of the host, for calls that run there; not in the total
  int64_t mapped_bytes = 0;      // weights read where the model file is mapped: not allocated
  std::array<int64_t, kRateCount> phase_peak_bytes{};  // largest live bytes within each phase

  int64_t total_bytes() const { return arena_bytes + packed_bytes + raw_weight_bytes + slot_bytes; }
};

// What running takes, estimated (estimate.h); 0: unknown.
struct PlanSeconds {
  double load = 0;                         // packing and uploading weights, creating kernels
  std::array<double, kRateCount> phase{};  // of one run of each phase, streaming and copies with it
  bool measured = false;  // from a calibration of the device; else from rough rates

  // What runs once a clip, and what runs at each step.
  double once() const;
  double step() const;
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
  std::vector<PlanWeight> weights;     // each tensor once a form, in the order of first use
  std::vector<DerivedWeight> derived;  // those of them that no file has, sorted by name
  std::string host;  // where calls that the device has no kernel for run; empty: there are none
  StreamPlan stream;
  int32_t distinct_kernels = 0;
  PlanMemory memory;
  std::array<Cost, kRateCount> phase_cost{};
  PlanSeconds seconds;
};

// How to make a weight that no file has; null: it is a tensor of the file.
const DerivedWeight* find_derived(const Plan& plan, std::string_view name);

// Whether the device allocates memory for it: the host reads what the file holds where it is
// mapped.
bool is_allocated(const Plan& plan, const PlanWeight& weight, const DeviceInfo& device);

// Weights that stay as stored, in fewer bits than calls multiply by.
struct EncodedWeights {
  int64_t count = 0;
  int64_t stored_bytes = 0;    // with their factors
  int64_t expanded_bytes = 0;  // of all of them, had they been expanded when they were loaded
  double step_seconds = 0;     // of expanding them at each step, estimated; 0: unknown
};
EncodedWeights encoded_weights(const Plan& plan);

// What a device is asked about a node of a graph: points into the graph, which must not change.
KernelRequest kernel_request(const Graph& graph, const Node& node);
// About a call of a plan.
KernelRequest kernel_request(const Plan& plan, const PlanCall& call);

// Equal for calls that one kernel serves: op, attributes, types, and what is a weight.
std::string kernel_signature(const KernelRequest& request);

// For errors: "node 'blocks.0.q', matmul(bf16[2, 1536], bf16[1536, 1536])".
std::string describe(const Graph& graph, const Node& node);

}  // namespace zoetrope
