// Uploads beside the kernels, on the device's copy queue where it has one, ordered by fences alone.
#pragma once

#include <array>
#include <memory>

#include "backends/vulkan/buffers.h"

namespace zoetrope::vulkan {

class VulkanFence : public Fence {
 public:
  explicit VulkanFence(Context& context) : context_(context) {}
  Status wait() override { return context_.wait_for(moment); }

  Moment moment;  // the last setting

 private:
  Context& context_;
};

// The moments of an order's fences.
std::vector<Moment> moments_of(const Order& order);
// Sets the order's fence, if it has one.
void set_fence(const Order& order, const Moment& moment);

class SideCopies {
 public:
  static Result<std::unique_ptr<SideCopies>> create(Context& context);
  ~SideCopies();

  Status upload(const BufferView& dst, const BufferView& src, const Order& order);

 private:
  struct Slot {
    VkCommandBuffer commands = VK_NULL_HANDLE;
    uint64_t number = 0;  // of its last submission
  };

  explicit SideCopies(Context& context) : context_(context) {}

  Context& context_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  std::array<Slot, 8> slots_;
  size_t current_ = 0;
};

}  // namespace zoetrope::vulkan
