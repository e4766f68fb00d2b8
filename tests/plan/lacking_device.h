// A device without kernels for some ops, for tests of what runs on the host instead.
#pragma once

#include <memory>
#include <set>
#include <utility>

#include "runtime/backend/backend.h"

namespace zoetrope {

// A device that has no kernels for some ops. Its memory is out of the host's reach, as a GPU's is.
class Lacking : public Device {
 public:
  Lacking(std::unique_ptr<Device> inner, std::set<OpKind> lacks)
      : inner_(std::move(inner)), lacks_(std::move(lacks)), info_(inner_->info()) {
    info_.host_memory = false;
    info_.name = "lacking";
  }

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
    if (lacks_.contains(request.node->op)) return error(Code::kUnsupported, "lacking");
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

 private:
  std::unique_ptr<Device> inner_;
  std::set<OpKind> lacks_;
  DeviceInfo info_;
};

}  // namespace zoetrope
