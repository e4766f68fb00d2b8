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
  Result<std::unique_ptr<Buffer>> wrap_host(const void* data, int64_t bytes) override;
  Status upload(BufferView dst, const void* src) override;
  Status download(void* dst, BufferView src) override;
  Status copy(BufferView dst, BufferView src) override;
  Result<KernelInfo> query_kernel(const KernelRequest& request) override;
  Result<std::unique_ptr<Kernel>> create_kernel(const KernelRequest& request,
                                                std::span<const HostTensor> weights) override;
  Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) override;
  Status submit(Sequence& sequence) override;
  Status wait() override { return Status(); }

 private:
  DeviceInfo info_;
  ThreadPool pool_;
  Context context_;
};

// What `options` give on this machine.
Result<DeviceInfo> describe_cpu(const DeviceOptions& options);
Result<std::unique_ptr<Device>> open_cpu(const DeviceOptions& options);

}  // namespace zoetrope::cpu
