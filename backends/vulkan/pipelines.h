// Compute pipelines, made once for each shader and set of constants, and kept on disk by the
// driver's own cache.
#pragma once

#include <array>
#include <compare>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "backends/vulkan/context.h"
#include "backends/vulkan/kernel.h"
#include "backends/vulkan/shaders.h"

namespace zoetrope::vulkan {

// What a shader with addresses finds in its push constants: shaders/tensor.glsl.
struct AddressPush {
  std::array<uint64_t, 12> address{};
  uint64_t params = 0;
  uint32_t first_group = 0;
  uint32_t padding = 0;
};
// And without: for Access::kWindows, each operand's first word within its first binding.
struct BindingPush {
  uint32_t first_group = 0;
  std::array<uint32_t, 12> first_word{};
};

class Pipelines {
 public:
  static Result<std::unique_ptr<Pipelines>> create(Context& context);
  ~Pipelines();

  // `segmented`: bit k, operand k lies in several allocations (Access::kAddresses).
  // `window_shift`: log2 of the words of a binding (Access::kWindows).
  Result<VkPipeline> get(const Dispatch& dispatch, Access access, uint32_t segmented,
                         uint32_t window_shift);

  VkPipelineLayout layout(Access access) const { return layouts_[static_cast<size_t>(access)]; }
  VkDescriptorSetLayout set_layout(Access access) const {
    return set_layouts_[static_cast<size_t>(access)];
  }

  // Writes the driver's cache to disk if pipelines were added. Nothing is lost when that fails.
  void save();

 private:
  struct Key {
    std::string shader;
    Access access;
    std::vector<uint32_t> constants;
    auto operator<=>(const Key&) const = default;
  };

  explicit Pipelines(Context& context) : context_(context) {}
  Status create_layouts();
  Status load();
  Result<VkShaderModule> module(const std::string& shader, Access access);
  Result<VkPipeline> build(const Key& key);

  Context& context_;
  VkPipelineCache cache_ = VK_NULL_HANDLE;
  std::filesystem::path file_;  // empty: nowhere to keep it
  size_t saved_ = 0;            // pipelines that the file has
  VkDescriptorSetLayout set_layouts_[3] = {};
  VkPipelineLayout layouts_[3] = {};
  std::map<std::pair<std::string, Access>, VkShaderModule> modules_;
  std::map<Key, VkPipeline> pipelines_;
};

}  // namespace zoetrope::vulkan
