// The CPU as a device: buffers are host memory, kernels run on the calling thread and the pool, and
// submit() returns when the work is done.
#pragma once

#include "backends/cpu/kernel.h"
#include "runtime/backend/backend.h"

namespace zoetrope::cpu {

class CpuDevice : public Device {
 public:
  CpuDevice(DeviceInfo info, Isa isa, int threads);

  const DeviceInfo& info() const override { return info_; }
  int64_t alignment() const override { return 64; }
  Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) override;
  int64_t allocated_bytes() const override { return allocated_; }
  Result<std::unique_ptr<Buffer>> allocate_host(int64_t bytes) override { return allocate(bytes); }
  Result<std::unique_ptr<Buffer>> wrap_host(const void* data, int64_t bytes) override;
  Status upload(BufferView dst, const void* src) override;
  Status download(void* dst, BufferView src) override;
  Status copy(BufferView dst, BufferView src) override;
  Status upload_beside(BufferView dst, BufferView src, const Order&) override {
    return copy(dst, src);
  }
  Result<std::unique_ptr<Fence>> create_fence() override {
    return std::unique_ptr<Fence>(new DoneFence);
  }
  Result<KernelInfo> query_kernel(const KernelRequest& request) override;
  Status pack(const KernelRequest& request, const PackedInput& packed, const HostTensor& tensor,
              BufferView to) override;
  Result<std::unique_ptr<Kernel>> create_kernel(const KernelRequest& request) override;
  Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) override;
  Status submit(Sequence& sequence, const Order& order) override;
  Status wait() override { return Status(); }

 private:
  DeviceInfo info_;
  int64_t allocated_ = 0;  // of living buffers
  ThreadPool pool_;
  Context context_;
};

// What `options` give on this machine.
Result<DeviceInfo> describe_cpu(const DeviceOptions& options);
Result<std::unique_ptr<Device>> open_cpu(const DeviceOptions& options);

}  // namespace zoetrope::cpu
