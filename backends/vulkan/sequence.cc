#include "backends/vulkan/sequence.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "backends/vulkan/transfer.h"

namespace zoetrope::vulkan {
namespace {

// No single dispatch, and no command buffer, takes longer at the device's least rate: watchdogs end
// work after some seconds.
constexpr double kPieceSeconds = 0.1, kBufferSeconds = 1.0;
constexpr int64_t kConstantsAlignment = 256;  // of a storage buffer's offset, at most

const VulkanKernel& kernel_of(const KernelCall& call) {
  return *static_cast<const VulkanKernel*>(call.kernel);
}

BufferView view_of(const Operand& operand, const KernelCall& call) {
  switch (operand.kind) {
    case Operand::kInput: return call.args.inputs[operand.index];
    case Operand::kOutput: return call.args.outputs[operand.index];
    case Operand::kWorkspace: {
      BufferView view = call.args.workspace;
      view.offset += operand.offset;
      view.bytes = operand.bytes;
      return view;
    }
  }
  return {};
}

const DeviceBuffer& buffer_of(const BufferView& view) {
  return *static_cast<const DeviceBuffer*>(view.buffer);
}

int64_t constants_bytes(int64_t bytes) {
  return (bytes + kConstantsAlignment - 1) / kConstantsAlignment * kConstantsAlignment;
}

Result<std::vector<BufferView>> views_of(const Dispatch& dispatch, const KernelCall& call) {
  std::vector<BufferView> views;
  for (const Operand& operand : dispatch.operands) {
    views.push_back(view_of(operand, call));
    if (views.back().buffer == nullptr)
      return error(Code::kInternal, "shader ", dispatch.shader, " was given no operand ",
                   views.size() - 1);
  }
  return views;
}

Reach reach_of(std::span<const BufferView> views, const Capabilities& caps) {
  Reach reach;
  bool windows = false;
  for (size_t k = 0; k < views.size(); ++k) {
    const bool crosses = buffer_of(views[k]).crosses_segments(views[k].offset, views[k].bytes);
    if (crosses) reach.segmented |= 1u << k;
    windows |= crosses || views[k].bytes > caps.max_binding;
  }
  if (caps.addresses) return reach;
  reach = {.access = windows ? Access::kWindows : Access::kBindings};
  const auto window = static_cast<uint64_t>(std::min(caps.max_binding, caps.max_allocation));
  if (windows) reach.window_shift = static_cast<uint32_t>(std::countr_zero(window / 4));
  return reach;
}

// Bytes of the table of segments of a view, 0 when it lies in one.
int64_t table_bytes(const BufferView& view) {
  const DeviceBuffer& buffer = buffer_of(view);
  if (!buffer.crosses_segments(view.offset, view.bytes)) return 0;
  return 16 + 8 * static_cast<int64_t>(buffer.segments().size());
}

}  // namespace

// What the dispatches since the last barrier have read and written.
class VulkanSequence::Hazards {
 public:
  // Whether a dispatch with this access must wait for one of them.
  bool conflicts(const BufferView& view, bool writes) const {
    return overlaps(writes_, view) || (writes && overlaps(reads_, view));
  }
  void add(const BufferView& view, bool writes) { (writes ? writes_ : reads_).push_back(view); }
  void clear() {
    reads_.clear();
    writes_.clear();
  }

 private:
  static bool overlaps(const std::vector<BufferView>& list, const BufferView& view) {
    return std::any_of(list.begin(), list.end(), [&](const BufferView& other) {
      return other.buffer == view.buffer && other.offset < view.offset + view.bytes &&
             view.offset < other.offset + other.bytes;
    });
  }
  std::vector<BufferView> reads_, writes_;
};

Result<std::unique_ptr<VulkanSequence>> VulkanSequence::record(Context& context,
                                                               Pipelines& pipelines,
                                                               std::span<const KernelCall> calls) {
  std::unique_ptr<VulkanSequence> made(new VulkanSequence(context, pipelines));
  VkCommandPoolCreateInfo pool{.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.queueFamilyIndex = context.caps.queue_family;
  ZT_RETURN_IF_ERROR(check(vkCreateCommandPool(context.device, &pool, nullptr, &made->pool_),
                           "creating a command pool"));
  ZT_RETURN_IF_ERROR(made->prepare_constants(calls));
  size_t dispatches = 0;
  for (const KernelCall& call : calls) {
    dispatches += kernel_of(call).spec.dispatches.size();
    if (call.seconds != nullptr) made->timed_.push_back(call.seconds);
  }
  if (!context.caps.addresses && dispatches > 0)
    ZT_RETURN_IF_ERROR(made->prepare_descriptors(dispatches));
  if (context.caps.timestamp_ns == 0) made->timed_.clear();
  if (!made->timed_.empty()) {
    VkQueryPoolCreateInfo queries{.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO};
    queries.queryType = VK_QUERY_TYPE_TIMESTAMP;
    queries.queryCount = static_cast<uint32_t>(2 * made->timed_.size());
    ZT_RETURN_IF_ERROR(check(vkCreateQueryPool(context.device, &queries, nullptr, &made->queries_),
                             "creating timestamps"));
  }
  // All are being compiled before the first is waited for.
  for (const KernelCall& call : calls) {
    for (const Dispatch& dispatch : kernel_of(call).spec.dispatches) {
      if (dispatch.groups == 0) continue;
      ZT_ASSIGN_OR_RETURN(const auto views, views_of(dispatch, call));
      pipelines.prepare(dispatch, reach_of(views, context.caps));
    }
  }
  ZT_RETURN_IF_ERROR(made->record_calls(calls));
  return made;
}

VulkanSequence::~VulkanSequence() {
  // The caller has waited for it, or the device is lost.
  vkDestroyQueryPool(context_.device, queries_, nullptr);
  vkDestroyDescriptorPool(context_.device, descriptors_, nullptr);
  vkDestroyCommandPool(context_.device, pool_, nullptr);
}

Status VulkanSequence::prepare_constants(std::span<const KernelCall> calls) {
  int64_t bytes = 0;
  for (const KernelCall& call : calls) {
    for (const Dispatch& dispatch : kernel_of(call).spec.dispatches) {
      bytes += constants_bytes(static_cast<int64_t>(dispatch.params.size() * 4));
      for (const Operand& operand : dispatch.operands)
        bytes += constants_bytes(table_bytes(view_of(operand, call)));
    }
  }
  if (bytes == 0) return Status();
  ZT_ASSIGN_OR_RETURN(constants_,
                      HostVisible::create(context_, bytes, HostVisible::Use::kConstants));
  return Status();
}

Status VulkanSequence::prepare_descriptors(size_t dispatches) {
  const uint32_t per_set = context_.caps.windows ? 12 * kWindows + 1 : 13;
  const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                  static_cast<uint32_t>(dispatches) * per_set};
  VkDescriptorPoolCreateInfo info{.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO};
  info.maxSets = static_cast<uint32_t>(dispatches);
  info.poolSizeCount = 1;
  info.pPoolSizes = &size;
  return check(vkCreateDescriptorPool(context_.device, &info, nullptr, &descriptors_),
               "creating a descriptor pool");
}

Status VulkanSequence::begin_buffer() {
  VkCommandBufferAllocateInfo info{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
  info.commandPool = pool_;
  info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  info.commandBufferCount = 1;
  VkCommandBuffer buffer = VK_NULL_HANDLE;
  ZT_RETURN_IF_ERROR(check(vkAllocateCommandBuffers(context_.device, &info, &buffer),
                           "allocating a command buffer"));
  buffers_.push_back(buffer);
  VkCommandBufferBeginInfo begin{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  ZT_RETURN_IF_ERROR(check(vkBeginCommandBuffer(buffer, &begin), "recording commands"));
  if (buffers_.size() == 1 && queries_ != VK_NULL_HANDLE)
    vkCmdResetQueryPool(buffer, queries_, 0, static_cast<uint32_t>(2 * timed_.size()));
  full_barrier(buffer);
  recording_ = true;
  seconds_ = 0;
  return Status();
}

Status VulkanSequence::end_buffer() {
  if (!recording_) return Status();
  recording_ = false;
  return check(vkEndCommandBuffer(buffers_.back()), "recording commands");
}

Status VulkanSequence::record_calls(std::span<const KernelCall> calls) {
  ZT_RETURN_IF_ERROR(begin_buffer());
  Hazards hazards;
  uint32_t query = 0;
  for (const KernelCall& call : calls) {
    const bool timed = queries_ != VK_NULL_HANDLE && call.seconds != nullptr;
    if (timed) {
      full_barrier(buffers_.back());
      hazards.clear();
      vkCmdWriteTimestamp(buffers_.back(), VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, queries_, query++);
    }
    for (const Dispatch& dispatch : kernel_of(call).spec.dispatches)
      if (Status status = record_dispatch(dispatch, call, &hazards); !status.ok())
        return status.with_context(call.label);
    if (timed)
      vkCmdWriteTimestamp(buffers_.back(), VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, queries_, query++);
  }
  full_barrier(buffers_.back());
  return end_buffer();
}

// Where the view's segments begin, for shaders; returns the table's address.
uint64_t VulkanSequence::segment_table(const BufferView& view) {
  const DeviceBuffer& buffer = buffer_of(view);
  char* at = constants_->data() + constants_used_;
  const uint64_t head[2] = {buffer.segment_shift(), static_cast<uint64_t>(view.offset)};
  std::memcpy(at, head, sizeof(head));
  for (size_t i = 0; i < buffer.segments().size(); ++i)
    std::memcpy(at + 16 + 8 * i, &buffer.segments()[i].address, 8);
  const uint64_t address = constants_->address() + static_cast<uint64_t>(constants_used_);
  constants_used_ += constants_bytes(table_bytes(view));
  return address;
}

Status VulkanSequence::record_dispatch(const Dispatch& dispatch, const KernelCall& call,
                                       Hazards* hazards) {
  if (dispatch.groups == 0) return Status();
  ZT_ASSIGN_OR_RETURN(const std::vector<BufferView> views, views_of(dispatch, call));
  const Reach reach = reach_of(views, context_.caps);
  ZT_ASSIGN_OR_RETURN(const VkPipeline pipeline, pipelines_.get(dispatch, reach));
  bool conflict = false;
  double bytes = 0;
  for (size_t k = 0; k < views.size(); ++k) {
    bytes += static_cast<double>(views[k].bytes);
    conflict |= hazards->conflicts(views[k], dispatch.operands[k].writes);
  }
  if (conflict) {
    full_barrier(buffers_.back());
    hazards->clear();
  }
  for (size_t k = 0; k < views.size(); ++k) hazards->add(views[k], dispatch.operands[k].writes);
  const double seconds = std::max(dispatch.flops / context_.caps.least_rate(dispatch.on_matrices),
                                  bytes / context_.caps.least_bandwidth());

  const int64_t params = constants_used_;
  if (!dispatch.params.empty())
    std::memcpy(constants_->data() + params, dispatch.params.data(), dispatch.params.size() * 4);
  constants_used_ += constants_bytes(static_cast<int64_t>(dispatch.params.size() * 4));

  if (context_.caps.addresses) {
    AddressPush push;
    for (size_t k = 0; k < views.size(); ++k) {
      if (views[k].bytes > 0)
        push.address[k] = (reach.segmented >> k & 1) != 0
                              ? segment_table(views[k])
                              : buffer_of(views[k]).address(views[k].offset);
    }
    push.params = constants_ ? constants_->address() + static_cast<uint64_t>(params) : 0;
    return dispatch_groups(dispatch, {reach.access, pipeline, VK_NULL_HANDLE, seconds}, &push,
                           &push.first_group);
  }
  BindingPush push;
  ZT_ASSIGN_OR_RETURN(const VkDescriptorSet set,
                      write_descriptors(views, params, reach.access, reach.window_shift, &push));
  return dispatch_groups(dispatch, {reach.access, pipeline, set, seconds}, &push,
                         &push.first_group);
}

Result<VkDescriptorSet> VulkanSequence::write_descriptors(std::span<const BufferView> views,
                                                          int64_t params, Access access,
                                                          uint32_t window_shift,
                                                          BindingPush* push) {
  const VkDescriptorSetLayout layout = pipelines_.set_layout(access);
  VkDescriptorSetAllocateInfo info{.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO};
  info.descriptorPool = descriptors_;
  info.descriptorSetCount = 1;
  info.pSetLayouts = &layout;
  VkDescriptorSet set = VK_NULL_HANDLE;
  ZT_RETURN_IF_ERROR(
      check(vkAllocateDescriptorSets(context_.device, &info, &set), "allocating a descriptor set"));
  const uint32_t count = access == Access::kWindows ? kWindows : 1;
  std::array<VkDescriptorBufferInfo, 12 * kWindows + 1> buffers;
  std::array<VkWriteDescriptorSet, 13> writes;
  for (uint32_t k = 0; k < views.size(); ++k) {
    const DeviceBuffer& buffer = buffer_of(views[k]);
    // A shader may touch the whole word that holds the last narrow element.
    // An empty tensor is never read; some word stands for it.
    const bool empty = views[k].bytes == 0;
    const int64_t end = empty ? 4 : (views[k].offset + views[k].bytes + 3) / 4 * 4;
    int64_t at = empty ? 0 : views[k].offset;
    if (access == Access::kWindows) {
      at = at >> (window_shift + 2) << (window_shift + 2);
      push->first_word[k] = empty ? 0 : static_cast<uint32_t>((views[k].offset - at) / 4);
    }
    VkDescriptorBufferInfo* first = &buffers[k * count];
    for (uint32_t w = 0; w < count; ++w) {
      const int64_t window_end =
          access == Access::kWindows ? at + (int64_t{4} << window_shift) : end;
      const DeviceBuffer::Piece piece = buffer.pieces(at, std::min(end, window_end) - at).front();
      first[w] = {piece.buffer, static_cast<VkDeviceSize>(piece.offset),
                  static_cast<VkDeviceSize>(piece.bytes)};
      // Where none is left, the last one again: never reached.
      if (window_end < end && w + 1 < count) at = window_end;
    }
    if (access == Access::kWindows && at + (int64_t{4} << window_shift) < end)
      return error(Code::kResourceExhausted, "a tensor of ", views[k].bytes,
                   " bytes needs more than ", kWindows, " bindings of ",
                   int64_t{4} << window_shift);
    writes[k] = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET};
    writes[k].dstSet = set;
    writes[k].dstBinding = k;
    writes[k].descriptorCount = count;
    writes[k].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    writes[k].pBufferInfo = first;
  }
  auto total = static_cast<uint32_t>(views.size());
  if (constants_) {
    buffers[total * count] = {constants_->buffer(), static_cast<VkDeviceSize>(params),
                              VK_WHOLE_SIZE};
    if (params < constants_->bytes()) {
      writes[total] = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET};
      writes[total].dstSet = set;
      writes[total].dstBinding = 12;
      writes[total].descriptorCount = 1;
      writes[total].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
      writes[total].pBufferInfo = &buffers[total * count];
      ++total;
    }
  }
  vkUpdateDescriptorSets(context_.device, total, writes.data(), 0, nullptr);
  return set;
}

void VulkanSequence::bind(const Bound& bound) const {
  const VkCommandBuffer commands = buffers_.back();
  vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, bound.pipeline);
  if (bound.set != VK_NULL_HANDLE)
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE,
                            pipelines_.layout(bound.access), 0, 1, &bound.set, 0, nullptr);
}

Status VulkanSequence::dispatch_groups(const Dispatch& dispatch, const Bound& bound, void* push,
                                       uint32_t* first_group) {
  const auto size = static_cast<uint32_t>(bound.access == Access::kAddresses ? sizeof(AddressPush)
                                                                             : sizeof(BindingPush));
  const double seconds = bound.seconds / static_cast<double>(dispatch.groups);  // of a group
  int64_t most = context_.caps.max_groups;
  if (bound.seconds > kPieceSeconds)
    most = std::clamp<int64_t>(static_cast<int64_t>(kPieceSeconds / seconds), 1, most);
  bind(bound);
  for (int64_t done = 0; done < dispatch.groups; done += most) {
    const int64_t groups = std::min(most, dispatch.groups - done);
    const double piece = seconds * static_cast<double>(groups);
    if (seconds_ > 0 && seconds_ + piece > kBufferSeconds) {
      ZT_RETURN_IF_ERROR(end_buffer());
      ZT_RETURN_IF_ERROR(begin_buffer());
      bind(bound);
    }
    *first_group = static_cast<uint32_t>(done);
    vkCmdPushConstants(buffers_.back(), pipelines_.layout(bound.access),
                       VK_SHADER_STAGE_COMPUTE_BIT, 0, size, push);
    vkCmdDispatch(buffers_.back(), static_cast<uint32_t>(groups), 1, 1);
    seconds_ += piece;
  }
  return Status();
}

Status VulkanSequence::collect_times() {
  if (queries_ == VK_NULL_HANDLE) return Status();
  std::vector<uint64_t> ticks(2 * timed_.size());
  ZT_RETURN_IF_ERROR(
      check(vkGetQueryPoolResults(context_.device, queries_, 0, static_cast<uint32_t>(ticks.size()),
                                  ticks.size() * 8, ticks.data(), 8,
                                  VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
            "reading timestamps"));
  for (size_t i = 0; i < timed_.size(); ++i)
    *timed_[i] += static_cast<double>(ticks[2 * i + 1] - ticks[2 * i]) * 1e-9 *
                  static_cast<double>(context_.caps.timestamp_ns);
  return Status();
}

}  // namespace zoetrope::vulkan
