#include "backends/vulkan/shaders.h"

namespace zoetrope::vulkan {
namespace {

struct Shader {
  std::string_view name;
  Access access;
  std::span<const uint32_t> words;
};

#include "backends/vulkan/shader_arrays.inc"

constexpr Shader kShaders[] = {
#include "backends/vulkan/shader_list.inc"
};

}  // namespace

std::span<const uint32_t> find_shader(std::string_view name, Access access) {
  for (const Shader& shader : kShaders)
    if (shader.name == name && shader.access == access) return shader.words;
  return {};
}

}  // namespace zoetrope::vulkan
