#include "backends/vulkan/transfer.h"

#include <algorithm>
#include <cstring>

namespace zoetrope::vulkan {
namespace {

const DeviceBuffer& buffer_of(const BufferView& view) {
  return *static_cast<const DeviceBuffer*>(view.buffer);
}

}  // namespace

void full_barrier(VkCommandBuffer commands) {
  constexpr VkPipelineStageFlags kStages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT |
                                           VK_PIPELINE_STAGE_TRANSFER_BIT |
                                           VK_PIPELINE_STAGE_HOST_BIT;
  VkMemoryBarrier memory{.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER};
  memory.srcAccessMask =
      VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_WRITE_BIT;
  memory.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT |
                         VK_ACCESS_HOST_READ_BIT;
  vkCmdPipelineBarrier(commands, kStages, kStages, 0, 1, &memory, 0, nullptr, 0, nullptr);
}

Result<std::unique_ptr<Transfer>> Transfer::create(Context& context) {
  std::unique_ptr<Transfer> made(new Transfer(context));
  VkCommandPoolCreateInfo pool{.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = context.caps.queue_family;
  ZT_RETURN_IF_ERROR(check(vkCreateCommandPool(context.device, &pool, nullptr, &made->pool_),
                           "creating a command pool"));
  for (Slot& slot : made->slots_) {
    ZT_ASSIGN_OR_RETURN(slot.memory,
                        HostVisible::create(context, kSlotBytes, HostVisible::Use::kUpload));
    VkCommandBufferAllocateInfo info{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    info.commandPool = made->pool_;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = 1;
    ZT_RETURN_IF_ERROR(check(vkAllocateCommandBuffers(context.device, &info, &slot.commands),
                             "allocating a command buffer"));
  }
  ZT_ASSIGN_OR_RETURN(made->landing_,
                      HostVisible::create(context, kSlotBytes, HostVisible::Use::kDownload));
  context.flush_transfers = [transfer = made.get()] { return transfer->flush(); };
  return made;
}

Transfer::~Transfer() {
  context_.flush_transfers = nullptr;
  vkDeviceWaitIdle(context_.device);
  if (pool_ != VK_NULL_HANDLE) vkDestroyCommandPool(context_.device, pool_, nullptr);
}

Status Transfer::open() {
  if (open_) return Status();
  current_ = (current_ + 1) % kSlots;
  Slot& slot = slots_[current_];
  ZT_RETURN_IF_ERROR(context_.wait_for(slot.number));
  VkCommandBufferBeginInfo begin{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  ZT_RETURN_IF_ERROR(check(vkBeginCommandBuffer(slot.commands, &begin), "recording a transfer"));
  full_barrier(slot.commands);
  open_ = true;
  used_ = 0;
  return Status();
}

Status Transfer::flush() {
  if (!open_) return Status();
  open_ = false;
  Slot& slot = slots_[current_];
  full_barrier(slot.commands);
  ZT_RETURN_IF_ERROR(check(vkEndCommandBuffer(slot.commands), "recording a transfer"));
  ZT_ASSIGN_OR_RETURN(slot.number, context_.submit({&slot.commands, 1}));
  return Status();
}

Status Transfer::upload(const BufferView& dst, const void* src) {
  const char* from = static_cast<const char*>(src);
  for (const DeviceBuffer::Piece& piece : buffer_of(dst).pieces(dst.offset, dst.bytes)) {
    for (int64_t done = 0; done < piece.bytes;) {
      if (used_ == kSlotBytes) ZT_RETURN_IF_ERROR(flush());
      ZT_RETURN_IF_ERROR(open());
      const Slot& slot = slots_[current_];
      const int64_t part = std::min(piece.bytes - done, kSlotBytes - used_);
      std::memcpy(slot.memory->data() + used_, from, static_cast<size_t>(part));
      const VkBufferCopy region{static_cast<VkDeviceSize>(used_),
                                static_cast<VkDeviceSize>(piece.offset + done),
                                static_cast<VkDeviceSize>(part)};
      vkCmdCopyBuffer(slot.commands, slot.memory->buffer(), piece.buffer, 1, &region);
      used_ = std::min(kSlotBytes, (used_ + part + 15) / 16 * 16);
      from += part;
      done += part;
    }
  }
  // A later upload to the same place must win.
  if (open_) full_barrier(slots_[current_].commands);
  return Status();
}

Status Transfer::copy(const BufferView& dst, const BufferView& src) {
  if (dst.bytes != src.bytes)
    return error(Code::kInvalidArgument, "copying ", src.bytes, " bytes into ", dst.bytes);
  ZT_RETURN_IF_ERROR(open());
  const VkCommandBuffer commands = slots_[current_].commands;
  int64_t done = 0;
  for (const DeviceBuffer::Piece& to : buffer_of(dst).pieces(dst.offset, dst.bytes)) {
    int64_t at = to.offset;
    for (const DeviceBuffer::Piece& from : buffer_of(src).pieces(src.offset + done, to.bytes)) {
      const VkBufferCopy region{static_cast<VkDeviceSize>(from.offset),
                                static_cast<VkDeviceSize>(at),
                                static_cast<VkDeviceSize>(from.bytes)};
      vkCmdCopyBuffer(commands, from.buffer, to.buffer, 1, &region);
      at += from.bytes;
    }
    done += to.bytes;
  }
  full_barrier(commands);
  return Status();
}

Status Transfer::download(void* dst, const BufferView& src) {
  char* to = static_cast<char*>(dst);
  for (const DeviceBuffer::Piece& piece : buffer_of(src).pieces(src.offset, src.bytes)) {
    for (int64_t done = 0; done < piece.bytes; done += kSlotBytes) {
      const int64_t part = std::min(piece.bytes - done, kSlotBytes);
      ZT_RETURN_IF_ERROR(open());
      const VkBufferCopy region{static_cast<VkDeviceSize>(piece.offset + done), 0,
                                static_cast<VkDeviceSize>(part)};
      vkCmdCopyBuffer(slots_[current_].commands, piece.buffer, landing_->buffer(), 1, &region);
      ZT_RETURN_IF_ERROR(flush());
      ZT_RETURN_IF_ERROR(context_.wait_for(context_.last_submitted()));
      std::memcpy(to, landing_->data(), static_cast<size_t>(part));
      to += part;
    }
  }
  return Status();
}

}  // namespace zoetrope::vulkan
