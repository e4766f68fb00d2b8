// The logical device and what belongs to it: shared by buffers, pipelines and sequences, which must
// not outlive it.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <span>

#include "backends/vulkan/capabilities.h"

VK_DEFINE_HANDLE(VmaAllocator)

namespace zoetrope::vulkan {

// When a timeline semaphore has reached a value.
struct Moment {
  VkSemaphore semaphore = VK_NULL_HANDLE;  // none: always
  uint64_t value = 0;
};

class Context {
 public:
  static Result<std::unique_ptr<Context>> create(int index, const Switches& switches);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  VkPhysicalDevice physical = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  std::atomic<int64_t> allocated = 0;  // bytes of living DeviceBuffers, as the allocator gave them
  VmaAllocator allocator = VK_NULL_HANDLE;
  Capabilities caps;

  // Work on the queue is numbered: submit returns the number that wait_for() takes. The first
  // buffer begins after the moments.
  Result<uint64_t> submit(std::span<const VkCommandBuffer> buffers,
                          std::span<const Moment> after = {});
  Status wait_for(uint64_t number);
  uint64_t last_submitted() const { return compute_.submitted; }
  Moment moment_of(uint64_t number) const { return {compute_.semaphore, number}; }
  // The same on the queue that copies beside kernels.
  Result<uint64_t> submit_copy(VkCommandBuffer buffer, std::span<const Moment> after);
  Moment moment_of_copy(uint64_t number) const { return {copies_.semaphore, number}; }
  Status wait_for(const Moment& moment);

  // Hands recorded transfers to the queue; set by their owner.
  std::function<Status()> flush_transfers;
  // Until nothing recorded or submitted uses any buffer: before one is freed. A lost device uses
  // none.
  void settle();
  // How both queues share a buffer.
  void share(VkBufferCreateInfo* info) const;

 private:
  Context() = default;
  Status open(VkPhysicalDevice chosen, const Switches& switches, uint32_t api_version);

  // A queue's numbers; work of one queue is done in their order.
  struct Timeline {
    VkSemaphore semaphore = VK_NULL_HANDLE;
    uint64_t submitted = 0, finished = 0;
  };
  Status create_timeline(Timeline* timeline) const;
  Status enqueue(VkQueue to, Timeline* timeline, std::span<const VkCommandBuffer> buffers,
                 std::span<const Moment> after);

  VkQueue copy_queue_ = VK_NULL_HANDLE;
  std::array<uint32_t, 2> families_{};
  Timeline compute_, copies_;
};

}  // namespace zoetrope::vulkan
