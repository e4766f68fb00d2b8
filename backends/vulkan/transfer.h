// Copies between host and device and within the device, in order with the work of the queue.
#pragma once

#include <array>
#include <memory>

#include "backends/vulkan/buffers.h"

namespace zoetrope::vulkan {

// Uploads return once the data lies in a staging slot; flush() hands the slot to the queue, and
// later work sees the result.
class Transfer {
 public:
  static Result<std::unique_ptr<Transfer>> create(Context& context);
  ~Transfer();

  Status upload(const BufferView& dst, const void* src);
  Status copy(const BufferView& dst, const BufferView& src);
  // Waits for everything before it.
  Status download(void* dst, const BufferView& src);
  Status flush();

 private:
  static constexpr int64_t kSlotBytes = int64_t{4} << 20;
  static constexpr size_t kSlots = 4;

  struct Slot {
    std::unique_ptr<HostVisible> memory;
    VkCommandBuffer commands = VK_NULL_HANDLE;
    uint64_t number = 0;  // of its last submission
  };

  explicit Transfer(Context& context) : context_(context) {}
  Status open();
  void barrier();

  Context& context_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  std::array<Slot, kSlots> slots_;
  std::unique_ptr<HostVisible> landing_;  // of downloads
  size_t current_ = 0;
  bool open_ = false;  // slots_[current_] is being recorded
  int64_t used_ = 0;   // bytes of it
};

// Makes everything before visible to everything after: transfers, shaders, the host.
void full_barrier(VkCommandBuffer commands);

}  // namespace zoetrope::vulkan
