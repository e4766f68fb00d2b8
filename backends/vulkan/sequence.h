// A list of kernel calls as command buffers, recorded once and submitted many times.
#pragma once

#include <memory>
#include <vector>

#include "backends/vulkan/buffers.h"
#include "backends/vulkan/pipelines.h"

namespace zoetrope::vulkan {

// A prepared kernel: its dispatches.
class VulkanKernel : public Kernel {
 public:
  explicit VulkanKernel(KernelSpec spec) : spec(std::move(spec)) {}

  const KernelSpec spec;
};

class VulkanSequence : public Sequence {
 public:
  static Result<std::unique_ptr<VulkanSequence>> record(Context& context, Pipelines& pipelines,
                                                        std::span<const KernelCall> calls);
  ~VulkanSequence() override;

  std::span<const VkCommandBuffer> command_buffers() const { return buffers_; }
  // After the work is done: adds each profiled call's time.
  Status collect_times();

 private:
  class Hazards;
  struct Bound {
    Access access;
    VkPipeline pipeline = VK_NULL_HANDLE;
    VkDescriptorSet set = VK_NULL_HANDLE;  // none with addresses
    double seconds = 0;                    // of all groups, at the device's least rate
  };

  VulkanSequence(Context& context, Pipelines& pipelines)
      : context_(context), pipelines_(pipelines) {}
  Status record_calls(std::span<const KernelCall> calls);
  Status record_dispatch(const Dispatch& dispatch, const KernelCall& call, Hazards* hazards);
  Status begin_buffer();
  Status end_buffer();
  Status prepare_constants(std::span<const KernelCall> calls);
  Status prepare_descriptors(size_t dispatches);
  Result<VkDescriptorSet> write_descriptors(std::span<const BufferView> views, int64_t params,
                                            Access access, uint32_t window_shift,
                                            BindingPush* push);
  uint64_t segment_table(const BufferView& view);
  void bind(const Bound& bound) const;
  Status dispatch_groups(const Dispatch& dispatch, const Bound& bound, void* push,
                         uint32_t* first_group);

  Context& context_;
  Pipelines& pipelines_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  std::vector<VkCommandBuffer> buffers_;
  bool recording_ = false;
  double seconds_ = 0;  // of the current command buffer, at the device's least rate
  // Shapes and tables of segments, read by shaders.
  std::unique_ptr<HostVisible> constants_;
  int64_t constants_used_ = 0;
  VkDescriptorPool descriptors_ = VK_NULL_HANDLE;
  VkQueryPool queries_ = VK_NULL_HANDLE;
  std::vector<double*> timed_;  // query pair i belongs to
};

}  // namespace zoetrope::vulkan
