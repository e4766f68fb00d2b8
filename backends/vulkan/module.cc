#include "backends/vulkan/device.h"

namespace zoetrope::vulkan {
namespace {

constexpr BackendModule kModule{
    .name = "vulkan",
    .enumerate = enumerate_devices,
    .open = VulkanDevice::open,
};

}  // namespace
}  // namespace zoetrope::vulkan

ZT_EXPORT_BACKEND(zoetrope::vulkan::kModule)
