#include "backends/vulkan/buffers.h"

#include <vk_mem_alloc.h>

#include <algorithm>
#include <array>
#include <bit>

namespace zoetrope::vulkan {
namespace {

VkBufferCreateInfo buffer_info(const Context& context, int64_t bytes) {
  VkBufferCreateInfo info{.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
  info.size = static_cast<VkDeviceSize>(bytes);
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
               VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  if (context.caps.addresses) info.usage |= VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  context.share(&info);
  return info;
}

VkDeviceAddress address_of(const Context& context, VkBuffer buffer) {
  if (!context.caps.addresses) return 0;
  VkBufferDeviceAddressInfo info{.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO};
  info.buffer = buffer;
  return vkGetBufferDeviceAddress(context.device, &info);
}

// Mesa's software driver says that it allocated and mapped what the system refused it: a piece at
// `offset` of memory that begins at zero, or at mmap's -1.
Status is_there(uint64_t address, VkDeviceSize offset, std::string_view what) {
  const uint64_t begin = address - offset;
  return check(begin == 0 || begin == ~uint64_t{0} ? VK_ERROR_OUT_OF_HOST_MEMORY : VK_SUCCESS,
               what);
}

// What to add to the error when there is not enough.
std::string memory_in_use(const Context& context) {
  std::array<VmaBudget, VK_MAX_MEMORY_HEAPS> heaps{};
  vmaGetHeapBudgets(context.allocator, heaps.data());
  const VkPhysicalDeviceMemoryProperties* memory = nullptr;
  vmaGetMemoryProperties(context.allocator, &memory);
  uint64_t used = 0;
  for (uint32_t i = 0; i < memory->memoryHeapCount; ++i)
    if (memory->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
      used += heaps[i].statistics.blockBytes;
  return str("; the device has ", context.caps.memory_bytes,
             " bytes for us, of which we have taken ", used,
             ": free memory on it, or plan for less");
}

}  // namespace

Result<std::unique_ptr<Buffer>> DeviceBuffer::create(Context& context, int64_t bytes) {
  if (bytes < 0) return error(Code::kInvalidArgument, "a buffer of ", bytes, " bytes");
  const int64_t size = (std::max<int64_t>(bytes, 1) + 255) / 256 * 256;
  std::unique_ptr<DeviceBuffer> buffer(new DeviceBuffer(context, size));
  const auto failed = [&](const Status& status) {
    const bool full = status.code() == Code::kResourceExhausted;
    return error(status.code(), "allocating ", bytes, " bytes on '", context.caps.name,
                 "': ", status.message(), full ? memory_in_use(context) : "");
  };
  const int64_t largest = context.caps.max_allocation;
  if (size <= largest) {
    if (Status status = buffer->add_segment(size); !status.ok()) return failed(status);
  } else if (size <= context.caps.max_sparse) {
    if (Status status = buffer->add_sparse(size); !status.ok()) return failed(status);
  } else {
    buffer->segment_shift_ =
        static_cast<uint32_t>(std::countr_zero(static_cast<uint64_t>(largest)));
    for (int64_t done = 0; done < size; done += largest)
      if (Status status = buffer->add_segment(std::min(largest, size - done)); !status.ok())
        return failed(status);
  }
  return std::unique_ptr<Buffer>(std::move(buffer));
}

Status DeviceBuffer::add_segment(int64_t bytes) {
  const VkBufferCreateInfo info = buffer_info(context_, bytes);
  VmaAllocationCreateInfo how{};
  how.usage = VMA_MEMORY_USAGE_AUTO_PREFER_DEVICE;
  // An error is better than a tensor behind the bus: plans count on the device's own memory.
  how.requiredFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  Segment segment;
  VmaAllocation allocation = VK_NULL_HANDLE;
  VmaAllocationInfo where;
  ZT_RETURN_IF_ERROR(
      check(vmaCreateBuffer(context_.allocator, &info, &how, &segment.buffer, &allocation, &where),
            "a buffer"));
  count(where.size);
  segment.allocations.push_back(allocation);
  segment.address = address_of(context_, segment.buffer);
  const VkDeviceAddress address = segment.address;
  segments_.push_back(std::move(segment));
  return context_.caps.addresses ? is_there(address, where.offset, "a buffer") : Status();
}

// One range of addresses, backed page by page.
Status DeviceBuffer::add_sparse(int64_t bytes) {
  VkBufferCreateInfo info = buffer_info(context_, bytes);
  info.flags = VK_BUFFER_CREATE_SPARSE_BINDING_BIT | VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT;
  Segment segment;
  ZT_RETURN_IF_ERROR(
      check(vkCreateBuffer(context_.device, &info, nullptr, &segment.buffer), "a sparse buffer"));
  segments_.push_back(std::move(segment));
  VkMemoryRequirements needs;
  vkGetBufferMemoryRequirements(context_.device, segments_[0].buffer, &needs);
  ZT_RETURN_IF_ERROR(bind_pages(&segments_[0], needs));
  segments_[0].address = address_of(context_, segments_[0].buffer);
  return Status();
}

Status DeviceBuffer::bind_pages(Segment* segment, const VkMemoryRequirements& needs) {
  // Parts of a quarter of the largest allocation, so that one that fails is not everything.
  const auto part =
      std::max<VkDeviceSize>(static_cast<VkDeviceSize>(context_.caps.max_allocation / 4) /
                                 needs.alignment * needs.alignment,
                             needs.alignment);
  VmaAllocationCreateInfo how{};
  how.requiredFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  std::vector<VkSparseMemoryBind> binds;
  for (VkDeviceSize done = 0; done < needs.size; done += part) {
    VkMemoryRequirements piece = needs;
    piece.size = std::min(part, needs.size - done);
    VmaAllocation allocation = VK_NULL_HANDLE;
    VmaAllocationInfo where;
    ZT_RETURN_IF_ERROR(
        check(vmaAllocateMemory(context_.allocator, &piece, &how, &allocation, &where), "pages"));
    count(where.size);
    segment->allocations.push_back(allocation);
    binds.push_back({done, piece.size, where.deviceMemory, where.offset, 0});
  }
  VkSparseBufferMemoryBindInfo buffer{segment->buffer, static_cast<uint32_t>(binds.size()),
                                      binds.data()};
  VkBindSparseInfo info{.sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO};
  info.bufferBindCount = 1;
  info.pBufferBinds = &buffer;
  ZT_RETURN_IF_ERROR(
      check(vkQueueBindSparse(context_.queue, 1, &info, VK_NULL_HANDLE), "binding pages"));
  return check(vkQueueWaitIdle(context_.queue), "binding pages");
}

DeviceBuffer::~DeviceBuffer() {
  context_.settle();
  for (Segment& segment : segments_) {
    vkDestroyBuffer(context_.device, segment.buffer, nullptr);
    for (VmaAllocation allocation : segment.allocations)
      vmaFreeMemory(context_.allocator, allocation);
  }
  context_.allocated -= allocated_;
}

void DeviceBuffer::count(uint64_t bytes) {
  allocated_ += static_cast<int64_t>(bytes);
  context_.allocated += static_cast<int64_t>(bytes);
}

std::vector<DeviceBuffer::Piece> DeviceBuffer::pieces(int64_t offset, int64_t bytes) const {
  std::vector<Piece> list;
  while (bytes > 0) {
    const int64_t index = offset >> segment_shift_, begin = index << segment_shift_;
    const int64_t left = (begin + (int64_t{1} << segment_shift_)) - offset;
    const int64_t part = std::min(bytes, left);
    list.push_back({segments_[static_cast<size_t>(index)].buffer, offset - begin, part});
    offset += part;
    bytes -= part;
  }
  return list;
}

Result<std::unique_ptr<HostVisible>> HostVisible::create(Context& context, int64_t bytes, Use use) {
  std::unique_ptr<HostVisible> made(new HostVisible(context, bytes));
  const VkBufferCreateInfo info = buffer_info(context, std::max<int64_t>(bytes, 256));
  VmaAllocationCreateInfo how{};
  how.usage = use == Use::kConstants ? VMA_MEMORY_USAGE_AUTO_PREFER_DEVICE
                                     : VMA_MEMORY_USAGE_AUTO_PREFER_HOST;
  how.requiredFlags = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  how.flags = VMA_ALLOCATION_CREATE_MAPPED_BIT |
              (use == Use::kDownload ? VMA_ALLOCATION_CREATE_HOST_ACCESS_RANDOM_BIT
                                     : VMA_ALLOCATION_CREATE_HOST_ACCESS_SEQUENTIAL_WRITE_BIT);
  VmaAllocationInfo where;
  const std::string what = str("allocating ", bytes, " bytes of host memory for transfers");
  ZT_RETURN_IF_ERROR(check(
      vmaCreateBuffer(context.allocator, &info, &how, &made->buffer_, &made->allocation_, &where),
      what));
  made->data_ = static_cast<char*>(where.pMappedData);
  ZT_RETURN_IF_ERROR(is_there(reinterpret_cast<uint64_t>(made->data_), where.offset, what));
  made->address_ = address_of(context, made->buffer_);
  return made;
}

HostVisible::~HostVisible() {
  if (buffer_ != VK_NULL_HANDLE) vmaDestroyBuffer(context_.allocator, buffer_, allocation_);
}

}  // namespace zoetrope::vulkan
