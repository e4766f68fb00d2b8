// Shaders that were built for one tile; see CMakeLists.txt.
#pragma once

#include <initializer_list>

#include "backends/vulkan/kernel.h"
#include "backends/vulkan/shaders.h"

namespace zoetrope::vulkan {

struct FixedShader {
  std::string name;
  bool is_fixed = false;
};

// NAME.AxBxC if it was built and the device's matrices are what it was built for, 16x16 of `depth`,
// else NAME.
inline FixedShader fixed_shader(const std::string& name, std::initializer_list<int64_t> sizes,
                                const MatrixTile& t, const Capabilities& caps,
                                uint32_t depth = 16) {
  if (t.m != 16 || t.n != 16 || t.k != depth || caps.subgroup_size != 32) return {name};
  std::string fixed = name;
  for (const int64_t size : sizes) fixed += str(fixed == name ? "." : "x", size);
  if (find_shader(fixed, Access::kAddresses).empty()) return {name};
  return {fixed, true};
}

}  // namespace zoetrope::vulkan
