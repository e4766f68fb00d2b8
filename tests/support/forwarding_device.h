// A device that is another one but for what a test overrides. Its memory is its own: nothing of the
// host's is wrapped.
#pragma once

#include <memory>
#include <utility>

#include "runtime/backend/backend.h"

namespace zoetrope {

class ForwardingDevice : public Device {
 public:
  explicit ForwardingDevice(std::unique_ptr<Device> inner)
      : inner_(std::move(inner)), info_(inner_->info()) {}

  const DeviceInfo& info() const override { return info_; }
  int64_t alignment() const override { return inner_->alignment(); }
  Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) override {
    return inner_->allocate(bytes);
  }
  int64_t allocated_bytes() const override { return inner_->allocated_bytes(); }
  Result<std::unique_ptr<Buffer>> allocate_host(int64_t bytes) override {
    return inner_->allocate_host(bytes);
  }
  Result<std::unique_ptr<Buffer>> wrap_host(const void*, int64_t) override {
    return error(Code::kUnsupported, "memory of its own");
  }
  Status upload(BufferView dst, const void* src) override { return inner_->upload(dst, src); }
  Status download(void* dst, BufferView src) override { return inner_->download(dst, src); }
  Status copy(BufferView dst, BufferView src) override { return inner_->copy(dst, src); }
  Status upload_beside(BufferView dst, BufferView src, const Order& order) override {
    return inner_->upload_beside(dst, src, order);
  }
  Result<std::unique_ptr<Fence>> create_fence() override { return inner_->create_fence(); }
  Result<KernelInfo> query_kernel(const KernelRequest& request) override {
    return inner_->query_kernel(request);
  }
  Status pack(const KernelRequest& request, const PackedInput& packed, const HostTensor& tensor,
              BufferView to) override {
    return inner_->pack(request, packed, tensor, to);
  }
  Result<std::unique_ptr<Kernel>> create_kernel(const KernelRequest& request) override {
    return inner_->create_kernel(request);
  }
  Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) override {
    return inner_->record(calls);
  }
  Status submit(Sequence& sequence, const Order& order) override {
    return inner_->submit(sequence, order);
  }
  Status wait() override { return inner_->wait(); }

 protected:
  std::unique_ptr<Device> inner_;
  DeviceInfo info_;
};

}  // namespace zoetrope
