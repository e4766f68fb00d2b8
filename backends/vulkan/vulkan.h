// Vulkan through volk, and its result codes as Status. The only way in which this backend includes
// it.
#pragma once

#include <volk.h>

#include <string_view>

#include "graph/status.h"

namespace zoetrope::vulkan {

// "VK_ERROR_DEVICE_LOST"
std::string_view result_name(VkResult result);

// OK for VK_SUCCESS; `what` is what was tried: "allocating 5 bytes".
Status check(VkResult result, std::string_view what);

}  // namespace zoetrope::vulkan
