// A list of kernel calls as one CUDA graph, captured once and launched many times.
#pragma once

#include <vector>

#include "backends/cuda/call_order.h"
#include "backends/cuda/captured_graph.h"
#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {

class CudaSequence : public Sequence {
 public:
  static Result<std::unique_ptr<CudaSequence>> record(const Context& context,
                                                      std::span<const KernelCall> calls);
  ~CudaSequence() override;

  Status submit();
  // After the work is done: adds each profiled call's time.
  Status collect_times();

  const Ranges& touched() const { return touched_; }
  cudaEvent_t done() const { return done_; }

 private:
  CudaSequence(const Context& context, std::span<const KernelCall> calls)
      : context_(context), calls_(calls.begin(), calls.end()) {}
  Status launch(const KernelCall& call) const;
  Status launch_all() const;
  // Each call after those that `order` names; see call_order().
  Status capture_by_memory(const std::vector<std::vector<size_t>>& order) const;
  Status create_events();

  const Context& context_;
  const std::vector<KernelCall> calls_;
  Ranges touched_;
  CapturedGraph graph_;
  cudaEvent_t done_ = nullptr;
  std::vector<cudaEvent_t> marks_;  // before each call and after the last, where any is profiled
};

}  // namespace zoetrope::cuda
