#define VOLK_IMPLEMENTATION
#include "backends/vulkan/instance.h"

#include <algorithm>
#include <mutex>

namespace zoetrope::vulkan {
namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";

std::mutex g_mutex;
std::string g_messages;

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                          VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void*) {
  const std::lock_guard lock(g_mutex);
  if (g_messages.size() < 8000) g_messages += str(data->pMessage, "\n");
  return VK_FALSE;
}

bool has_layer(const char* name) {
  uint32_t count = 0;
  vkEnumerateInstanceLayerProperties(&count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  vkEnumerateInstanceLayerProperties(&count, layers.data());
  return std::any_of(layers.begin(), layers.end(), [&](const VkLayerProperties& layer) {
    return std::string_view(layer.layerName) == name;
  });
}

}  // namespace

std::string_view result_name(VkResult result) {
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "VK_ERROR_OUT_OF_HOST_MEMORY";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
    case VK_ERROR_INITIALIZATION_FAILED: return "VK_ERROR_INITIALIZATION_FAILED";
    case VK_ERROR_DEVICE_LOST: return "VK_ERROR_DEVICE_LOST";
    case VK_ERROR_LAYER_NOT_PRESENT: return "VK_ERROR_LAYER_NOT_PRESENT";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "VK_ERROR_EXTENSION_NOT_PRESENT";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "VK_ERROR_FEATURE_NOT_PRESENT";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "VK_ERROR_INCOMPATIBLE_DRIVER";
    case VK_ERROR_TOO_MANY_OBJECTS: return "VK_ERROR_TOO_MANY_OBJECTS";
    case VK_ERROR_OUT_OF_POOL_MEMORY: return "VK_ERROR_OUT_OF_POOL_MEMORY";
    case VK_TIMEOUT: return "VK_TIMEOUT";
    default: return "a Vulkan error";
  }
}

Status check(VkResult result, std::string_view what) {
  switch (result) {
    case VK_SUCCESS: return Status();
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
      return error(Code::kResourceExhausted, what, ": ", result_name(result));
    case VK_ERROR_INITIALIZATION_FAILED:
      return error(Code::kUnavailable, what, ": ", result_name(result));
    case VK_ERROR_DEVICE_LOST:
      return error(
          Code::kUnavailable, what,
          ": the device was lost (a driver reset, a watchdog, or it was removed); run again, "
          "or take --device cpu");
    default:
      return error(Code::kInternal, what, ": ", result_name(result), " (", static_cast<int>(result),
                   ")");
  }
}

Result<Instance*> Instance::get(bool validate) {
  static std::mutex mutex;
  static Instance instances[2];
  const std::lock_guard lock(mutex);
  Instance& instance = instances[validate];
  if (instance.instance_ == VK_NULL_HANDLE) ZT_RETURN_IF_ERROR(instance.create(validate));
  return &instance;
}

Status Instance::create(bool validate) {
  static const VkResult loaded = volkInitialize();
  if (loaded != VK_SUCCESS)
    return error(Code::kUnavailable,
                 "no Vulkan loader (libvulkan.so.1) on this machine; it comes with the graphics "
                 "driver, or as the package libvulkan1");
  if (validate && !has_layer(kValidationLayer))
    return error(Code::kUnavailable, "the layer ", kValidationLayer,
                 " is not installed (package vulkan-validationlayers)");
  api_version_ = std::min(volkGetInstanceVersion(), static_cast<uint32_t>(VK_API_VERSION_1_3));
  if (api_version_ < VK_API_VERSION_1_2)
    return error(Code::kUnavailable, "the Vulkan loader knows version ",
                 VK_API_VERSION_MAJOR(api_version_), ".", VK_API_VERSION_MINOR(api_version_),
                 "; 1.2 is needed");

  VkApplicationInfo application{.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO};
  application.pApplicationName = application.pEngineName = "zoetrope";
  application.apiVersion = api_version_;
  VkDebugUtilsMessengerCreateInfoEXT debug{
      .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
  debug.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                          VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  debug.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                      VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
  debug.pfnUserCallback = on_message;
  const VkValidationFeatureEnableEXT synchronization =
      VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
  VkValidationFeaturesEXT features{.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT};
  features.pNext = &debug;
  features.enabledValidationFeatureCount = 1;
  features.pEnabledValidationFeatures = &synchronization;
  const char* extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME,
                              VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
  VkInstanceCreateInfo info{.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
  info.pApplicationInfo = &application;
  if (validate) {
    info.pNext = &features;
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &kValidationLayer;
    info.enabledExtensionCount = 2;
    info.ppEnabledExtensionNames = extensions;
  }
  VkInstance created = VK_NULL_HANDLE;
  if (const VkResult result = vkCreateInstance(&info, nullptr, &created); result != VK_SUCCESS)
    return error(Code::kUnavailable, "Vulkan does not start: ", result_name(result),
                 result == VK_ERROR_INCOMPATIBLE_DRIVER ? ", no driver is installed" : "");
  volkLoadInstance(created);
  if (validate) vkCreateDebugUtilsMessengerEXT(created, &debug, nullptr, &messenger_);
  uint32_t count = 0;
  vkEnumeratePhysicalDevices(created, &count, nullptr);
  devices_.resize(count);
  if (vkEnumeratePhysicalDevices(created, &count, devices_.data()) != VK_SUCCESS) count = 0;
  devices_.resize(count);
  instance_ = created;
  return Status();
}

std::string Instance::take_messages() {
  const std::lock_guard lock(g_mutex);
  return std::exchange(g_messages, {});
}

}  // namespace zoetrope::vulkan
