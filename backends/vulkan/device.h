// A Vulkan device behind the backend contract.
#pragma once

#include "backends/vulkan/sequence.h"
#include "backends/vulkan/side_copies.h"
#include "backends/vulkan/transfer.h"

namespace zoetrope::vulkan {

class VulkanDevice : public Device {
 public:
  static Result<std::unique_ptr<Device>> open(int index, const DeviceOptions& options);
  ~VulkanDevice() override;

  const DeviceInfo& info() const override { return info_; }
  int64_t alignment() const override { return 256; }
  Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) override;
  int64_t allocated_bytes() const override { return context_->allocated; }
  Result<std::unique_ptr<Buffer>> allocate_host(int64_t bytes) override;
  Result<std::unique_ptr<Buffer>> wrap_host(const void* data, int64_t bytes) override;
  Status upload(BufferView dst, const void* src) override;
  Status download(void* dst, BufferView src) override;
  Status copy(BufferView dst, BufferView src) override;
  Status upload_beside(BufferView dst, BufferView src, const Order& order) override;
  Result<std::unique_ptr<Fence>> create_fence() override;
  Result<KernelInfo> query_kernel(const KernelRequest& request) override;
  void foresee(const KernelRequest& request) override;
  Status pack(const KernelRequest& request, const PackedInput& packed, const HostTensor& tensor,
              BufferView to) override;
  Result<std::unique_ptr<Kernel>> create_kernel(const KernelRequest& request) override;
  Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) override;
  Status submit(Sequence& sequence, const Order& order) override;
  Status wait() override;

 private:
  VulkanDevice() = default;
  // In the background, as far as it is known without operands.
  void compile(const KernelSpec& spec);
  Status cast_elements(const TensorType& type, BufferView from, const TensorType& wanted,
                       BufferView to);

  DeviceInfo info_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<Pipelines> pipelines_;
  std::unique_ptr<Transfer> transfer_;
  std::unique_ptr<SideCopies> side_copies_;
  std::vector<VulkanSequence*> in_flight_;
};

// Devices of this machine, without opening them.
Result<std::vector<DeviceInfo>> enumerate_devices(const DeviceOptions& options);

}  // namespace zoetrope::vulkan
