#include "backends/cuda/sequence.h"

#include <algorithm>

namespace zoetrope::cuda {
namespace {

bool is_profiled(const KernelCall& call) { return call.seconds != nullptr; }

}  // namespace

Result<std::unique_ptr<CudaSequence>> CudaSequence::record(const Context& context,
                                                           std::span<const KernelCall> calls) {
  std::unique_ptr<CudaSequence> made(new CudaSequence(context, calls));
  for (const KernelCall& call : calls) {
    for (const auto& views : {call.args.inputs, call.args.outputs})
      for (const BufferView& view : views)
        if (view.buffer != nullptr) made->touched_.add(address(view), view.bytes);
    if (call.args.workspace.buffer != nullptr)
      made->touched_.add(address(call.args.workspace), call.args.workspace.bytes);
  }
  made->touched_.merge();
  ZT_RETURN_IF_ERROR(made->create_events());
  if (context.caps.switches.no_graph) return made;

  ZT_RETURN_IF_ERROR(
      check(cudaStreamBeginCapture(context.stream, cudaStreamCaptureModeThreadLocal), "capturing"));
  const Status launched = made->launch_all();
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(context.stream, &graph);
  Status status = launched.ok() ? check(ended, "capturing") : launched;
  if (status.ok()) status = check(cudaGraphInstantiate(&made->graph_, graph), "building a graph");
  if (graph != nullptr) (void)cudaGraphDestroy(graph);
  (void)cudaGetLastError();
  ZT_RETURN_IF_ERROR(status);
  return made;
}

CudaSequence::~CudaSequence() {
  if (graph_ != nullptr) (void)cudaGraphExecDestroy(graph_);
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
    const auto* kernel = static_cast<const CudaKernel*>(calls_[i].kernel);
    if (Status status = kernel->launch(Call(calls_[i].args, context_.stream)); !status.ok())
      return status.with_context(str(calls_[i].label, " (", kernel->info.name, ")"));
  }
  return mark(calls_.size());
}

Status CudaSequence::submit() {
  if (graph_ != nullptr)
    ZT_RETURN_IF_ERROR(check(cudaGraphLaunch(graph_, context_.stream), "launching a graph"));
  else
    ZT_RETURN_IF_ERROR(launch_all());
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
