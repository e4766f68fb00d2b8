// A plan made ready on its device: arena allocated, weights packed, and then one loop over kernels.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string_view>

#include "graph/weights.h"
#include "runtime/plan/plan.h"

namespace zoetrope {

// Called before each weight and kernel: bytes of weights loaded, of all. Return false to cancel.
using LoadProgress = std::function<bool(int64_t done, int64_t total)>;

class Session {
 public:
  // `device` and `weights` must outlive the session (weights may be read in place for ever).
  static Result<std::unique_ptr<Session>> create(Plan plan, Device& device,
                                                 const WeightSource& weights,
                                                 const LoadProgress& progress = {});

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

  // Zeroes every state.
  Status reset_states();

  // Bytes that this session really holds: arena, packed and raw weights.
  int64_t resident_bytes() const;

  // Seconds spent a call since enable_profile(); index as Plan::calls.
  void enable_profile();
  std::span<const double> call_seconds() const { return seconds_; }

 private:
  Session(Plan plan, Device& device) : plan_(std::move(plan)), device_(device) {}
  Status load(const WeightSource& weights, const LoadProgress& progress);
  Status report(int64_t done, const LoadProgress& progress) const;
  Status load_raw_weights(const WeightSource& weights, const LoadProgress& progress);
  Status create_kernels(const WeightSource& weights, const LoadProgress& progress);
  void resolve_views();
  Status submit_phase(size_t rate);
  // Copies every `next` of the last run over its state. Not before the outputs may go: one of them
  // may be a view of a state. Not after inputs change: a `next` may be a view of an input.
  Status advance_states();
  BufferView view(const TensorRef& ref) const;
  const PlanBinding* find(const std::vector<PlanBinding>& list, std::string_view name) const;

  Plan plan_;
  Device& device_;
  std::unique_ptr<Buffer> arena_;
  std::vector<std::unique_ptr<Buffer>> raw_weights_;
  std::vector<std::shared_ptr<const void>> weight_owners_;  // behind wrapped raw weights
  std::vector<std::unique_ptr<Kernel>> kernels_;            // by call
  std::vector<std::string> labels_;                         // by call: describe()
  std::vector<BufferView> views_;                           // storage of every KernelArgs
  std::vector<KernelCall> calls_;
  std::array<size_t, kRateCount + 1> phase_begin_{};  // calls_ of phase r: [r, r + 1)
  std::array<std::unique_ptr<Sequence>, kRateCount> phases_;
  std::vector<bool> input_set_;
  bool states_pending_ = false;
  Rate dirty_ = Rate::kWeights;  // slowest phase that must run again
  std::vector<double> seconds_;
};

}  // namespace zoetrope
