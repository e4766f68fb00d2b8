#include "backends/vulkan/context.h"

#include <vk_mem_alloc.h>

#include <array>
#include <cstdio>

#include "backends/vulkan/instance.h"

namespace zoetrope::vulkan {
namespace {

// Of the device's memory, which a driver takes for itself: NVIDIA's opens with 100 MiB and not
// with 40.
constexpr int64_t kOpeningBytes = int64_t{64} << 20;

}  // namespace

Result<std::unique_ptr<Context>> Context::create(int index, const Switches& switches) {
  ZT_ASSIGN_OR_RETURN(Instance* const instance, Instance::get(switches.validate));
  if (index < 0 || static_cast<size_t>(index) >= instance->devices().size())
    return error(Code::kUnavailable, "no Vulkan device ", index);
  std::unique_ptr<Context> context(new Context);
  ZT_RETURN_IF_ERROR(context->open(instance->devices()[static_cast<size_t>(index)], switches,
                                   instance->api_version()));
  VmaAllocatorCreateInfo info{};
  info.physicalDevice = context->physical;
  info.device = context->device;
  info.instance = instance->handle();
  info.vulkanApiVersion = std::min(instance->api_version(), context->caps.api_version);
  if (context->caps.addresses) info.flags = VMA_ALLOCATOR_CREATE_BUFFER_DEVICE_ADDRESS_BIT;
  VmaVulkanFunctions functions{};
  functions.vkGetInstanceProcAddr = vkGetInstanceProcAddr;
  functions.vkGetDeviceProcAddr = vkGetDeviceProcAddr;
  info.pVulkanFunctions = &functions;
  std::array<VkDeviceSize, VK_MAX_MEMORY_HEAPS> limits;
  limits.fill(static_cast<VkDeviceSize>(context->caps.memory_limit));
  if (context->caps.memory_limit > 0) info.pHeapSizeLimit = limits.data();
  ZT_RETURN_IF_ERROR(
      check(vmaCreateAllocator(&info, &context->allocator), "creating an allocator"));
  return context;
}

Status Context::open(VkPhysicalDevice chosen, const Switches& switches, uint32_t) {
  physical = chosen;
  EnabledFeatures features;
  ZT_RETURN_IF_ERROR(read_capabilities(chosen, switches, &caps, &features));
  const float priority = 1;
  families_ = {caps.queue_family, caps.copy_family};
  std::array<VkDeviceQueueCreateInfo, 2> queues{};
  for (size_t i = 0; i < queues.size(); ++i) {
    queues[i].sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queues[i].queueFamilyIndex = families_[i];
    queues[i].queueCount = 1;
    queues[i].pQueuePriorities = &priority;
  }
  VkDeviceCreateInfo info{.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO};
  info.pNext = &features.base;
  info.queueCreateInfoCount = families_[0] == families_[1] ? 1 : 2;
  info.pQueueCreateInfos = queues.data();
  info.enabledExtensionCount = static_cast<uint32_t>(features.extensions.size());
  info.ppEnabledExtensionNames = features.extensions.data();
  const VkResult opened = vkCreateDevice(chosen, &info, nullptr, &device);
  // NVIDIA's driver says so of a device without free memory.
  if (opened == VK_ERROR_INITIALIZATION_FAILED && caps.memory_bytes < kOpeningBytes)
    return error(Code::kResourceExhausted, "opening '", caps.name, "': ", result_name(opened), "; ",
                 caps.memory_bytes >> 20, " MiB of its memory are free");
  ZT_RETURN_IF_ERROR(check(opened, str("opening '", caps.name, "'")));
  vkGetDeviceQueue(device, families_[0], 0, &queue);
  vkGetDeviceQueue(device, families_[1], 0, &copy_queue_);
  ZT_RETURN_IF_ERROR(create_timeline(&compute_));
  return create_timeline(&copies_);
}

Status Context::create_timeline(Timeline* timeline) const {
  VkSemaphoreTypeCreateInfo type{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo semaphore{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
  return check(vkCreateSemaphore(device, &semaphore, nullptr, &timeline->semaphore),
               "creating a semaphore");
}

Context::~Context() {
  if (device == VK_NULL_HANDLE) return;
  vkDeviceWaitIdle(device);
  for (const Timeline& timeline : {compute_, copies_})
    vkDestroySemaphore(device, timeline.semaphore, nullptr);
  if (allocator != VK_NULL_HANDLE) vmaDestroyAllocator(allocator);
  vkDestroyDevice(device, nullptr);
  // Too late for a Status: objects that were not destroyed are reported by the device's own end.
  if (const std::string messages = Instance::take_messages(); !messages.empty()) {
    std::fprintf(stderr, "the validation layer says: %s", messages.c_str());
    ZT_CHECK(messages.empty());
  }
}

Status Context::enqueue(VkQueue to, Timeline* timeline, std::span<const VkCommandBuffer> buffers,
                        std::span<const Moment> after) {
  // One batch a command buffer, each with a signal of its own, without which drivers join them: a
  // watchdog that watches batches sees short ones.
  std::vector<uint64_t> numbers(buffers.size());
  std::vector<VkTimelineSemaphoreSubmitInfo> signals(
      buffers.size(), {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO});
  std::vector<VkSubmitInfo> batches(buffers.size(), {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO});
  for (size_t i = 0; i < buffers.size(); ++i) {
    numbers[i] = timeline->submitted + 1 + i;
    signals[i].signalSemaphoreValueCount = 1;
    signals[i].pSignalSemaphoreValues = &numbers[i];
    batches[i].pNext = &signals[i];
    batches[i].signalSemaphoreCount = 1;
    batches[i].pSignalSemaphores = &timeline->semaphore;
    batches[i].commandBufferCount = 1;
    batches[i].pCommandBuffers = &buffers[i];
  }
  std::vector<VkSemaphore> semaphores;
  std::vector<uint64_t> values;
  std::vector<VkPipelineStageFlags> stages;
  for (const Moment& moment : after) {
    if (moment.semaphore == VK_NULL_HANDLE) continue;
    semaphores.push_back(moment.semaphore);
    values.push_back(moment.value);
    stages.push_back(VK_PIPELINE_STAGE_ALL_COMMANDS_BIT);
  }
  if (!batches.empty()) {
    batches[0].waitSemaphoreCount = static_cast<uint32_t>(semaphores.size());
    batches[0].pWaitSemaphores = semaphores.data();
    batches[0].pWaitDstStageMask = stages.data();
    signals[0].waitSemaphoreValueCount = static_cast<uint32_t>(values.size());
    signals[0].pWaitSemaphoreValues = values.data();
  }
  if (caps.lost_after > 0 && timeline->submitted >= caps.lost_after)
    return check(VK_ERROR_DEVICE_LOST, "submitting work");
  ZT_RETURN_IF_ERROR(check(
      vkQueueSubmit(to, static_cast<uint32_t>(batches.size()), batches.data(), VK_NULL_HANDLE),
      "submitting work"));
  timeline->submitted += buffers.size();
  return Status();
}

Result<uint64_t> Context::submit(std::span<const VkCommandBuffer> buffers,
                                 std::span<const Moment> after) {
  ZT_RETURN_IF_ERROR(enqueue(queue, &compute_, buffers, after));
  return compute_.submitted;
}

Result<uint64_t> Context::submit_copy(VkCommandBuffer buffer, std::span<const Moment> after) {
  ZT_RETURN_IF_ERROR(enqueue(copy_queue_, &copies_, {&buffer, 1}, after));
  return copies_.submitted;
}

Status Context::wait_for(uint64_t number) { return wait_for(moment_of(number)); }

Status Context::wait_for(const Moment& moment) {
  Timeline& timeline = moment.semaphore == copies_.semaphore ? copies_ : compute_;
  if (moment.semaphore == VK_NULL_HANDLE || moment.value <= timeline.finished) return Status();
  VkSemaphoreWaitInfo info{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO};
  info.semaphoreCount = 1;
  info.pSemaphores = &moment.semaphore;
  info.pValues = &moment.value;
  ZT_RETURN_IF_ERROR(
      check(vkWaitSemaphores(device, &info, UINT64_MAX), str("waiting for '", caps.name, "'")));
  timeline.finished = moment.value;
  const std::string messages = Instance::take_messages();
  if (!messages.empty()) return error(Code::kInternal, "the validation layer says: ", messages);
  return Status();
}

void Context::settle() {
  if (flush_transfers) (void)flush_transfers();
  if (compute_.finished < compute_.submitted || copies_.finished < copies_.submitted)
    vkDeviceWaitIdle(device);
}

void Context::share(VkBufferCreateInfo* info) const {
  if (families_[0] == families_[1]) return;
  info->sharingMode = VK_SHARING_MODE_CONCURRENT;
  info->queueFamilyIndexCount = static_cast<uint32_t>(families_.size());
  info->pQueueFamilyIndices = families_.data();
}

}  // namespace zoetrope::vulkan
