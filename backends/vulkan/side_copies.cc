#include "backends/vulkan/side_copies.h"

namespace zoetrope::vulkan {

std::vector<Moment> moments_of(const Order& order) {
  std::vector<Moment> moments;
  for (const Fence* fence : order.after)
    moments.push_back(static_cast<const VulkanFence*>(fence)->moment);
  return moments;
}

void set_fence(const Order& order, const Moment& moment) {
  if (order.sets != nullptr) static_cast<VulkanFence*>(order.sets)->moment = moment;
}

Result<std::unique_ptr<SideCopies>> SideCopies::create(Context& context) {
  std::unique_ptr<SideCopies> made(new SideCopies(context));
  VkCommandPoolCreateInfo pool{.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = context.caps.copy_family;
  ZT_RETURN_IF_ERROR(check(vkCreateCommandPool(context.device, &pool, nullptr, &made->pool_),
                           "creating a command pool"));
  for (Slot& slot : made->slots_) {
    VkCommandBufferAllocateInfo info{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    info.commandPool = made->pool_;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = 1;
    ZT_RETURN_IF_ERROR(check(vkAllocateCommandBuffers(context.device, &info, &slot.commands),
                             "allocating a command buffer"));
  }
  return made;
}

SideCopies::~SideCopies() {
  vkDeviceWaitIdle(context_.device);
  if (pool_ != VK_NULL_HANDLE) vkDestroyCommandPool(context_.device, pool_, nullptr);
}

Status SideCopies::upload(const BufferView& dst, const BufferView& src, const Order& order) {
  if (dst.bytes != src.bytes)
    return error(Code::kInvalidArgument, "copying ", src.bytes, " bytes into ", dst.bytes);
  current_ = (current_ + 1) % slots_.size();
  Slot& slot = slots_[current_];
  if (slot.number > 0) ZT_RETURN_IF_ERROR(context_.wait_for(context_.moment_of_copy(slot.number)));
  VkCommandBufferBeginInfo begin{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  ZT_RETURN_IF_ERROR(check(vkBeginCommandBuffer(slot.commands, &begin), "recording a transfer"));
  int64_t at = src.offset;
  for (const DeviceBuffer::Piece& to :
       static_cast<const DeviceBuffer*>(dst.buffer)->pieces(dst.offset, dst.bytes)) {
    const VkBufferCopy region{static_cast<VkDeviceSize>(at), static_cast<VkDeviceSize>(to.offset),
                              static_cast<VkDeviceSize>(to.bytes)};
    vkCmdCopyBuffer(slot.commands, static_cast<const HostBuffer*>(src.buffer)->buffer(), to.buffer,
                    1, &region);
    at += to.bytes;
  }
  ZT_RETURN_IF_ERROR(check(vkEndCommandBuffer(slot.commands), "recording a transfer"));
  ZT_ASSIGN_OR_RETURN(slot.number, context_.submit_copy(slot.commands, moments_of(order)));
  set_fence(order, context_.moment_of_copy(slot.number));
  return Status();
}

}  // namespace zoetrope::vulkan
