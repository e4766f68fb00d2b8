#include "backends/cuda/sequence.h"

#include <algorithm>

namespace zoetrope::cuda {
namespace {

// Calls that touch more fill any device: beside others they would only take turns.
constexpr int64_t kAloneBytes = int64_t{48} << 20;

bool is_profiled(const KernelCall& call) { return call.seconds != nullptr; }

CallMemory memory_of(const KernelCall& call, Ranges* touched) {
  CallMemory memory;
  int64_t bytes = 0;
  const auto add = [&](const BufferView& view, Ranges* ranges) {
    if (view.buffer == nullptr) return;
    ranges->add(address(view), view.bytes);
    touched->add(address(view), view.bytes);
    bytes += view.bytes;
  };
  for (const BufferView& view : call.args.inputs) add(view, &memory.reads);
  for (const BufferView& view : call.args.outputs) add(view, &memory.writes);
  add(call.args.workspace, &memory.writes);
  memory.alone = bytes > kAloneBytes;
  return memory;
}

}  // namespace

Result<std::unique_ptr<CudaSequence>> CudaSequence::record(const Context& context,
                                                           std::span<const KernelCall> calls) {
  std::unique_ptr<CudaSequence> made(new CudaSequence(context, calls));
  std::vector<CallMemory> memory;
  for (const KernelCall& call : calls) {
    memory.push_back(memory_of(call, &made->touched_));
  }
  made->touched_.merge();
  ZT_RETURN_IF_ERROR(made->create_events());
  if (context.caps.switches.no_graph) return made;
  const bool in_a_row = !made->marks_.empty();  // each is timed by itself
  ZT_RETURN_IF_ERROR(made->graph_.capture(context.stream, [&] {
    return in_a_row ? made->launch_all() : made->capture_by_memory(call_order(memory));
  }));
  return made;
}

CudaSequence::~CudaSequence() {
  if (done_ != nullptr) (void)cudaEventDestroy(done_);
  for (cudaEvent_t mark : marks_) (void)cudaEventDestroy(mark);
}

Status CudaSequence::create_events() {
  ZT_RETURN_IF_ERROR(
      check(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming), "creating an event"));
  if (std::none_of(calls_.begin(), calls_.end(), is_profiled)) return Status();
  marks_.resize(calls_.size() + 1, nullptr);
  for (cudaEvent_t& mark : marks_)
    ZT_RETURN_IF_ERROR(check(cudaEventCreate(&mark), "creating an event"));
  return Status();
}

Status CudaSequence::launch_all() const {
  const auto mark = [&](size_t i) {
    if (marks_.empty()) return Status();
    const unsigned flags =
        context_.caps.switches.no_graph ? cudaEventRecordDefault : cudaEventRecordExternal;
    return check(cudaEventRecordWithFlags(marks_[i], context_.stream, flags), "timing");
  };
  for (size_t i = 0; i < calls_.size(); ++i) {
    ZT_RETURN_IF_ERROR(mark(i));
    ZT_RETURN_IF_ERROR(launch(calls_[i]));
  }
  return mark(calls_.size());
}

Status CudaSequence::launch(const KernelCall& call) const {
  const auto* kernel = static_cast<const CudaKernel*>(call.kernel);
  const Status status = kernel->launch(Call(call.args, context_.stream));
  return status.ok() ? status : status.with_context(str(call.label, " (", kernel->info.name, ")"));
}

Status CudaSequence::capture_by_memory(const std::vector<std::vector<size_t>>& order) const {
  std::vector<std::vector<cudaGraphNode_t>> last(calls_.size());  // of each call
  for (size_t i = 0; i < calls_.size(); ++i) {
    std::vector<cudaGraphNode_t> before;
    for (const size_t j : order[i]) before.insert(before.end(), last[j].begin(), last[j].end());
    ZT_RETURN_IF_ERROR(follow_in_capture(context_.stream, before));
    ZT_RETURN_IF_ERROR(launch(calls_[i]));
    ZT_ASSIGN_OR_RETURN(last[i], last_in_capture(context_.stream));
  }
  return Status();
}

Status CudaSequence::submit() {
  ZT_RETURN_IF_ERROR(context_.caps.switches.no_graph ? launch_all()
                                                     : graph_.launch(context_.stream));
  return check(cudaEventRecord(done_, context_.stream), "submitting");
}

Status CudaSequence::collect_times() {
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (!is_profiled(calls_[i])) continue;
    float milliseconds = 0;
    ZT_RETURN_IF_ERROR(
        check(cudaEventElapsedTime(&milliseconds, marks_[i], marks_[i + 1]), "timing"));
    *calls_[i].seconds += 1e-3 * milliseconds;
  }
  return Status();
}

}  // namespace zoetrope::cuda
