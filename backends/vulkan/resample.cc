// Repetition and linear resampling.
#include "backends/vulkan/kernel.h"

namespace zoetrope::vulkan {

std::span<const Row> resample_rows() { return {}; }

}  // namespace zoetrope::vulkan
