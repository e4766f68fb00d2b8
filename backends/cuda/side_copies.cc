#include "backends/cuda/side_copies.h"

namespace zoetrope::cuda {

Result<std::unique_ptr<CudaFence>> CudaFence::create() {
  std::unique_ptr<CudaFence> fence(new CudaFence);
  ZT_RETURN_IF_ERROR(
      check(cudaEventCreateWithFlags(&fence->event_, cudaEventDisableTiming), "creating an event"));
  return fence;
}

CudaFence::~CudaFence() {
  if (event_ != nullptr) (void)cudaEventDestroy(event_);
}

Status CudaFence::wait() { return check(cudaEventSynchronize(event_), "waiting for a fence"); }

Status follow(const Order& order, cudaStream_t stream) {
  for (const Fence* fence : order.after)
    ZT_RETURN_IF_ERROR(
        check(cudaStreamWaitEvent(stream, static_cast<const CudaFence*>(fence)->event(), 0),
              "ordering work"));
  return Status();
}

Status set_fence(const Order& order, cudaStream_t stream) {
  if (order.sets == nullptr) return Status();
  return check(cudaEventRecord(static_cast<const CudaFence*>(order.sets)->event(), stream),
               "ordering work");
}

Result<std::unique_ptr<Buffer>> HostBuffer::create(int64_t bytes) {
  void* data = nullptr;
  ZT_RETURN_IF_ERROR(check(cudaMallocHost(&data, static_cast<size_t>(bytes > 0 ? bytes : 1)),
                           str("allocating ", bytes, " bytes of pinned host memory")));
  return std::unique_ptr<Buffer>(new HostBuffer(data, bytes));
}

HostBuffer::~HostBuffer() { (void)cudaFreeHost(data_); }

Result<std::unique_ptr<SideCopies>> SideCopies::create() {
  std::unique_ptr<SideCopies> made(new SideCopies);
  ZT_RETURN_IF_ERROR(check(cudaStreamCreateWithFlags(&made->stream_, cudaStreamNonBlocking),
                           "creating a stream for copies"));
  return made;
}

SideCopies::~SideCopies() {
  if (stream_ == nullptr) return;
  (void)cudaStreamSynchronize(stream_);
  (void)cudaStreamDestroy(stream_);
}

Status SideCopies::upload(char* dst, const void* src, int64_t bytes, const Order& order) {
  ZT_RETURN_IF_ERROR(follow(order, stream_));
  ZT_RETURN_IF_ERROR(
      check(cudaMemcpyAsync(dst, src, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_),
            "uploading"));
  return set_fence(order, stream_);
}

}  // namespace zoetrope::cuda
