// The logical device and what belongs to it: shared by buffers, pipelines and sequences, which must
// not outlive it.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "backends/vulkan/capabilities.h"

VK_DEFINE_HANDLE(VmaAllocator)

namespace zoetrope::vulkan {

class Context {
 public:
  static Result<std::unique_ptr<Context>> create(int index, const Switches& switches);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  VkPhysicalDevice physical = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  VmaAllocator allocator = VK_NULL_HANDLE;
  Capabilities caps;

  // Work on the queue is numbered: submit returns the number that wait_for() takes.
  Result<uint64_t> submit(std::span<const VkCommandBuffer> buffers);
  Status wait_for(uint64_t number);
  uint64_t last_submitted() const { return submitted_; }

  // Hands recorded transfers to the queue; set by their owner.
  std::function<Status()> flush_transfers;
  // Until nothing recorded or submitted uses any buffer: before one is freed. A lost device uses
  // none.
  void settle();

 private:
  Context() = default;
  Status open(VkPhysicalDevice chosen, const Switches& switches, uint32_t api_version);

  VkSemaphore timeline_ = VK_NULL_HANDLE;
  uint64_t submitted_ = 0, finished_ = 0;
};

}  // namespace zoetrope::vulkan
