#include "backends/vulkan/context.h"

#include <vk_mem_alloc.h>

#include <array>
#include <cstdio>

#include "backends/vulkan/instance.h"

namespace zoetrope::vulkan {

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
  VkDeviceQueueCreateInfo queue_info{.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
  queue_info.queueFamilyIndex = caps.queue_family;
  queue_info.queueCount = 1;
  queue_info.pQueuePriorities = &priority;
  VkDeviceCreateInfo info{.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO};
  info.pNext = &features.base;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue_info;
  info.enabledExtensionCount = static_cast<uint32_t>(features.extensions.size());
  info.ppEnabledExtensionNames = features.extensions.data();
  ZT_RETURN_IF_ERROR(
      check(vkCreateDevice(chosen, &info, nullptr, &device), str("opening '", caps.name, "'")));
  vkGetDeviceQueue(device, caps.queue_family, 0, &queue);
  VkSemaphoreTypeCreateInfo type{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo semaphore{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
  return check(vkCreateSemaphore(device, &semaphore, nullptr, &timeline_), "creating a semaphore");
}

Context::~Context() {
  if (device == VK_NULL_HANDLE) return;
  vkDeviceWaitIdle(device);
  vkDestroySemaphore(device, timeline_, nullptr);
  if (allocator != VK_NULL_HANDLE) vmaDestroyAllocator(allocator);
  vkDestroyDevice(device, nullptr);
  // Too late for a Status: objects that were not destroyed are reported by the device's own end.
  if (const std::string messages = Instance::take_messages(); !messages.empty()) {
    std::fprintf(stderr, "the validation layer says: %s", messages.c_str());
    ZT_CHECK(messages.empty());
  }
}

Result<uint64_t> Context::submit(std::span<const VkCommandBuffer> buffers) {
  // One batch a command buffer, each with a signal of its own, without which drivers join them: a
  // watchdog that watches batches sees short ones.
  std::vector<uint64_t> numbers(buffers.size());
  std::vector<VkTimelineSemaphoreSubmitInfo> signals(
      buffers.size(), {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO});
  std::vector<VkSubmitInfo> batches(buffers.size(), {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO});
  for (size_t i = 0; i < buffers.size(); ++i) {
    numbers[i] = submitted_ + 1 + i;
    signals[i].signalSemaphoreValueCount = 1;
    signals[i].pSignalSemaphoreValues = &numbers[i];
    batches[i].pNext = &signals[i];
    batches[i].signalSemaphoreCount = 1;
    batches[i].pSignalSemaphores = &timeline_;
    batches[i].commandBufferCount = 1;
    batches[i].pCommandBuffers = &buffers[i];
  }
  if (caps.lost_after > 0 && submitted_ >= caps.lost_after)
    return check(VK_ERROR_DEVICE_LOST, "submitting work");
  ZT_RETURN_IF_ERROR(check(
      vkQueueSubmit(queue, static_cast<uint32_t>(batches.size()), batches.data(), VK_NULL_HANDLE),
      "submitting work"));
  submitted_ += buffers.size();
  return submitted_;
}

Status Context::wait_for(uint64_t number) {
  if (number <= finished_) return Status();
  VkSemaphoreWaitInfo info{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO};
  info.semaphoreCount = 1;
  info.pSemaphores = &timeline_;
  info.pValues = &number;
  ZT_RETURN_IF_ERROR(
      check(vkWaitSemaphores(device, &info, UINT64_MAX), str("waiting for '", caps.name, "'")));
  finished_ = number;
  const std::string messages = Instance::take_messages();
  if (!messages.empty()) return error(Code::kInternal, "the validation layer says: ", messages);
  return Status();
}

void Context::settle() {
  if (flush_transfers) (void)flush_transfers();
  if (finished_ < submitted_) vkDeviceWaitIdle(device);
}

}  // namespace zoetrope::vulkan
