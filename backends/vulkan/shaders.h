// The compiled shaders, embedded in the library.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace zoetrope::vulkan {

// How a shader reaches memory; see shaders/tensor.glsl.
enum class Access : uint8_t { kAddresses, kBindings, kWindows };

// Number of bindings an operand has with Access::kWindows.
inline constexpr uint32_t kWindows = 8;

// SPIR-V words; empty when there is no such shader.
std::span<const uint32_t> find_shader(std::string_view name, Access access);

}  // namespace zoetrope::vulkan
