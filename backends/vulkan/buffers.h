// Device memory: one allocation where that is allowed, else several that look like one.
#pragma once

#include <memory>
#include <vector>

#include "backends/vulkan/context.h"

VK_DEFINE_HANDLE(VmaAllocation)

namespace zoetrope::vulkan {

class DeviceBuffer : public Buffer {
 public:
  // A range of one VkBuffer.
  struct Piece {
    VkBuffer buffer = VK_NULL_HANDLE;
    int64_t offset = 0, bytes = 0;
  };
  struct Segment {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceAddress address = 0;  // 0 without addresses
    std::vector<VmaAllocation> allocations;
  };

  static Result<std::unique_ptr<Buffer>> create(Context& context, int64_t bytes);
  ~DeviceBuffer() override;

  int64_t bytes() const override { return bytes_; }
  void* host_data() override { return nullptr; }

  // All but the last segment have 2^segment_shift() bytes.
  const std::vector<Segment>& segments() const { return segments_; }
  uint32_t segment_shift() const { return segment_shift_; }
  bool crosses_segments(int64_t offset, int64_t bytes) const {
    return bytes > 0 && offset >> segment_shift_ != (offset + bytes - 1) >> segment_shift_;
  }
  // Of a byte.
  VkDeviceAddress address(int64_t offset) const {
    const auto i = static_cast<size_t>(offset >> segment_shift_);
    return segments_[i].address +
           static_cast<VkDeviceAddress>(offset - (static_cast<int64_t>(i) << segment_shift_));
  }
  // The range, cut at segments' ends.
  std::vector<Piece> pieces(int64_t offset, int64_t bytes) const;

 private:
  DeviceBuffer(Context& context, int64_t bytes) : context_(context), bytes_(bytes) {}
  Status add_segment(int64_t bytes);
  Status add_sparse(int64_t bytes);
  Status bind_pages(Segment* segment, const VkMemoryRequirements& needs);
  void count(uint64_t bytes);

  Context& context_;
  const int64_t bytes_;
  int64_t allocated_ = 0;  // of bytes_, rounded up by the driver
  uint32_t segment_shift_ = 62;
  std::vector<Segment> segments_;
};

// Memory that host and device both reach, mapped for its whole life.
class HostVisible {
 public:
  // kConstants: written once, read by every invocation, so in the device's own memory where the
  // host can reach that.
  enum class Use { kUpload, kDownload, kConstants };
  static Result<std::unique_ptr<HostVisible>> create(Context& context, int64_t bytes, Use use);
  ~HostVisible();

  VkBuffer buffer() const { return buffer_; }
  VkDeviceAddress address() const { return address_; }  // 0 without addresses
  char* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  HostVisible(Context& context, int64_t bytes) : context_(context), bytes_(bytes) {}

  Context& context_;
  const int64_t bytes_;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VmaAllocation allocation_ = VK_NULL_HANDLE;
  VkDeviceAddress address_ = 0;
  char* data_ = nullptr;
};

// Such memory as a buffer of the contract: what Device::allocate_host() gives.
class HostBuffer : public Buffer {
 public:
  explicit HostBuffer(std::unique_ptr<HostVisible> memory) : memory_(std::move(memory)) {}
  int64_t bytes() const override { return memory_->bytes(); }
  void* host_data() override { return memory_->data(); }
  VkBuffer buffer() const { return memory_->buffer(); }

 private:
  const std::unique_ptr<HostVisible> memory_;
};

}  // namespace zoetrope::vulkan
