// The loader and the instance, one for the process.
#pragma once

#include <string>
#include <vector>

#include "backends/vulkan/vulkan.h"

namespace zoetrope::vulkan {

class Instance {
 public:
  // Made at the first call and kept; with validation, a second one. kUnavailable says why there is
  // none: no loader, no driver, no validation layer.
  static Result<Instance*> get(bool validate);

  VkInstance handle() const { return instance_; }
  uint32_t api_version() const { return api_version_; }
  const std::vector<VkPhysicalDevice>& devices() const { return devices_; }

  // Messages of the validation layer since the last call, joined; empty when all is well.
  static std::string take_messages();

 private:
  Status create(bool validate);

  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  uint32_t api_version_ = 0;
  std::vector<VkPhysicalDevice> devices_;
};

}  // namespace zoetrope::vulkan
