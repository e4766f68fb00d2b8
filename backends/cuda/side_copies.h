// Uploads from pinned memory on a stream of their own, ordered by fences alone.
#pragma once

#include <memory>

#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {

class CudaFence : public Fence {
 public:
  static Result<std::unique_ptr<CudaFence>> create();
  ~CudaFence() override;
  Status wait() override;
  cudaEvent_t event() const { return event_; }

 private:
  CudaFence() = default;
  cudaEvent_t event_ = nullptr;
};

// Makes `stream` wait for the order's fences.
Status follow(const Order& order, cudaStream_t stream);
// Sets the order's fence, if it has one, once the stream's work until now is done.
Status set_fence(const Order& order, cudaStream_t stream);

// Pinned host memory as a buffer of the contract.
class HostBuffer : public Buffer {
 public:
  static Result<std::unique_ptr<Buffer>> create(int64_t bytes);
  ~HostBuffer() override;
  int64_t bytes() const override { return bytes_; }
  void* host_data() override { return data_; }

 private:
  HostBuffer(void* data, int64_t bytes) : data_(data), bytes_(bytes) {}
  void* const data_;
  const int64_t bytes_;
};

class SideCopies {
 public:
  static Result<std::unique_ptr<SideCopies>> create();
  ~SideCopies();
  Status upload(char* dst, const void* src, int64_t bytes, const Order& order);

 private:
  SideCopies() = default;
  cudaStream_t stream_ = nullptr;
};

}  // namespace zoetrope::cuda
