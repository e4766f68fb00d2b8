// A plan made ready on its device: arena allocated, weights there, and then one loop over kernels.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/plan/plan.h"
#include "runtime/plan/trace.h"
#include "runtime/plan/weight_store.h"
#include "runtime/plan/weight_stream.h"

namespace zoetrope {

// Called before each weight: bytes of weights there, of all. Return false to cancel.
using LoadProgress = std::function<bool(int64_t done, int64_t total)>;

// What states hold, by name.
using StateBytes = std::map<std::string, std::vector<uint8_t>>;

// Where a session that runs in turns with others has its arena.
struct ArenaShare {
  int64_t least_bytes = 0;         // to be allocated: what the others need as well
  std::shared_ptr<Buffer> buffer;  // the other one's; null: allocate it
};

// Tells the device of every kernel of a plan that will be run soon: it may compile them meanwhile.
void foresee_kernels(const Plan& plan, Device& device);

class Session {
 public:
  // On the store's device; the store must outlive the session. `host`, a store on the device that
  // the plan was given as its host, where Plan::host names one.
  static Result<std::unique_ptr<Session>> create(Plan plan, WeightStore& weights,
                                                 const LoadProgress& progress = {},
                                                 WeightStore* host = nullptr,
                                                 const ArenaShare& share = {});

  const Plan& plan() const { return plan_; }

  // Copies `bytes` (which must be the input's size) in. Setting an input of a slower rate makes the
  // next run() redo that phase and all faster ones. Inputs of rate kStep are consumed by run(): set
  // them before each.
  Status set_input(std::string_view name, const void* data, int64_t bytes);
  template <typename T>
  Status set_input(std::string_view name, std::span<const T> data) {
    return set_input(name, data.data(), static_cast<int64_t>(data.size_bytes()));
  }

  // Runs every phase whose inputs changed, then kStep. The first call needs every input.
  Status run();

  // Outputs are valid until the next set_input or run.
  Status get_output(std::string_view name, void* data, int64_t bytes);
  const TensorType* input_type(std::string_view name) const;  // null when there is none
  const TensorType* output_type(std::string_view name) const;

  // States are zero at the next run. Where the arena is shared all inputs are to be set again: this
  // is how a session begins its turn.
  void reset_states();
  // What the states hold after the last run, and the other way: how another session goes on, on
  // another device too.
  Result<StateBytes> get_states();
  Status set_states(const StateBytes& states);
  // The same from a session that shares the arena: nothing is copied but what the plan copies after
  // every run. Begins this session's turn, and ends the other's.
  Status take_states(Session& from);
  const std::shared_ptr<Buffer>& arena() const { return arena_; }

  // What it takes on the device for itself: arena (which may be shared) and slots. Weights that
  // stay are the store's, which others may share.
  int64_t own_bytes() const;

  // Asked before every run from now on; null: nobody. Must outlive the session or be taken away.
  void set_trace(CallTrace* trace) { trace_ = trace; }

  // Seconds spent a call since enable_profile(); index as Plan::calls.
  void enable_profile();
  std::span<const double> call_seconds() const { return seconds_; }

 private:
  Session(Plan plan, WeightStore& store, WeightStore* host)
      : plan_(std::move(plan)), device_(store.device()), store_(store), host_(host) {}
  Status load(const LoadProgress& progress, const ArenaShare& share);
  Status load_weights(const LoadProgress& progress);
  Status create_kernels();
  void resolve_views();
  Status submit_phase(size_t rate);
  Status submit_groups(size_t rate);
  Status run_with_host(size_t rate);
  Status run_on_host(size_t call);
  Status run_traced(size_t rate);
  Status trace_call(size_t call);
  Status fill_group_of(size_t call);
  int32_t streamed_weight(size_t call, const TensorRef& ref) const;
  Result<Sequence*> recorded(std::unique_ptr<Sequence>* sequence, size_t begin, size_t end);
  // Copies every `next` of the last run over its state. Not before the outputs may go: one of them
  // may be a view of a state. Not after inputs change: a `next` may be a view of an input.
  Status advance_states();
  Status zero_states();
  void begin_turn();
  bool is_state(ValueId input) const;
  BufferView view(const TensorRef& ref) const;
  const PlanBinding* find(const std::vector<PlanBinding>& list, std::string_view name) const;

  Plan plan_;
  Device& device_;
  WeightStore& store_;
  WeightStore* const host_;  // null: every call runs on the device
  std::shared_ptr<Buffer> arena_;
  std::unique_ptr<Buffer> host_arena_;
  std::vector<std::shared_ptr<Buffer>> weights_;  // by Plan::weights; null: streamed
  std::vector<std::unique_ptr<Kernel>> kernels_;  // by PlanCall::distinct
  std::vector<std::string> labels_;               // by call: describe()
  std::vector<BufferView> views_;                 // storage of every KernelArgs
  std::vector<KernelCall> calls_;
  std::array<size_t, kRateCount + 1> phase_begin_{};  // calls_ of phase r: [r, r + 1)
  std::array<std::unique_ptr<Sequence>, kRateCount> phases_;
  std::vector<std::unique_ptr<Sequence>> groups_;  // by StreamPlan::groups
  // Where there are calls on the host: each of those, and what runs between them, by first call.
  std::vector<std::unique_ptr<Sequence>> parts_;
  std::unique_ptr<WeightStream> stream_;  // null: nothing is streamed
  std::vector<bool> input_set_;
  bool states_pending_ = false;  // `next` holds them
  bool states_unset_ = true;     // to be zeroed
  Rate dirty_ = Rate::kWeights;  // slowest phase that must run again
  std::vector<double> seconds_;
  CallTrace* trace_ = nullptr;
};

}  // namespace zoetrope
