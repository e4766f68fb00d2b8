#include "backends/vulkan/device.h"
#include "backends/vulkan/kernel.h"

namespace zoetrope::vulkan {
namespace {

constexpr BackendModule kModule{
    .name = "vulkan",
    .enumerate = enumerate_devices,
    .open = VulkanDevice::open,
    .kernel_rows = kernel_rows,
};

}  // namespace
}  // namespace zoetrope::vulkan

ZT_EXPORT_BACKEND(zoetrope::vulkan::kModule)
