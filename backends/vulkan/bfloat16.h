// Modules for bf16 matrices, made from those for f16: shader compilers of today's distributions do
// not know SPV_KHR_bfloat16.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace zoetrope::vulkan {

// The module with its 16-bit float type turned into bf16. The type may occur in cooperative
// matrices only: f16 arithmetic would be turned too.
std::vector<uint32_t> as_bf16(std::span<const uint32_t> words);

}  // namespace zoetrope::vulkan
