// An NVIDIA GPU behind the backend contract.
#pragma once

#include "backends/cuda/cublaslt.h"
#include "backends/cuda/sequence.h"
#include "backends/cuda/side_copies.h"

namespace zoetrope::cuda {

class CudaDevice : public Device {
 public:
  static Result<std::unique_ptr<Device>> open(int index, const DeviceOptions& options);
  ~CudaDevice() override;

  const DeviceInfo& info() const override { return info_; }
  int64_t alignment() const override { return 256; }
  Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) override;
  int64_t allocated_bytes() const override { return allocated_; }
  Result<std::unique_ptr<Buffer>> allocate_host(int64_t bytes) override;
  Result<std::unique_ptr<Buffer>> wrap_host(const void* data, int64_t bytes) override;
  Status upload(BufferView dst, const void* src) override;
  Status download(void* dst, BufferView src) override;
  Status copy(BufferView dst, BufferView src) override;
  Status upload_beside(BufferView dst, BufferView src, const Order& order) override;
  Result<std::unique_ptr<Fence>> create_fence() override;
  Result<KernelInfo> query_kernel(const KernelRequest& request) override;
  Status pack(const KernelRequest& request, const PackedInput& packed, const HostTensor& tensor,
              BufferView to) override;
  Result<std::unique_ptr<Kernel>> create_kernel(const KernelRequest& request) override;
  Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) override;
  Status submit(Sequence& sequence, const Order& order) override;
  Status wait() override;

 private:
  CudaDevice() = default;
  // Makes it the calling thread's: another device, or another thread, may have come between.
  Status select() const;
  // Copies to `begin` come after the work in flight that touches it.
  Status order_after_kernels(const char* begin, int64_t bytes);

  DeviceInfo info_;
  Context context_;
  int64_t allocated_ = 0;  // of living buffers
  std::unique_ptr<Transfer> transfer_;
  std::unique_ptr<SideCopies> side_copies_;
  std::unique_ptr<CublasLt> cublaslt_;
  std::vector<CudaSequence*> in_flight_;
};

// Devices of this machine, without opening them.
Result<std::vector<DeviceInfo>> enumerate_devices(const DeviceOptions& options);

}  // namespace zoetrope::cuda
