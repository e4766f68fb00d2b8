// Compute pipelines, made once for each shader and set of constants by threads of their own, and
// kept on disk by the driver's cache.
#pragma once

#include <array>
#include <compare>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backends/vulkan/context.h"
#include "backends/vulkan/kernel.h"
#include "backends/vulkan/shaders.h"
#include "backends/vulkan/workers.h"

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

// How a dispatch reaches its operands.
struct Reach {
  Access access = Access::kAddresses;
  uint32_t segmented = 0;     // bit k, operand k lies in several allocations (kAddresses)
  uint32_t window_shift = 0;  // log2 of the words of a binding (kWindows)
};

// One thread calls it.
class Pipelines {
 public:
  // `threads`: that the process may use, the caller's among them.
  static Result<std::unique_ptr<Pipelines>> create(Context& context, int threads);
  // Waits for what is being compiled; what has not begun is dropped.
  ~Pipelines();

  // Has a thread compile what get() will ask for.
  void prepare(const Dispatch& dispatch, const Reach& reach) { find(dispatch, reach); }
  // Compiles it here if no thread has begun to.
  Result<VkPipeline> get(const Dispatch& dispatch, const Reach& reach);

  VkPipelineLayout layout(Access access) const { return layouts_[static_cast<size_t>(access)]; }
  VkDescriptorSetLayout set_layout(Access access) const {
    return set_layouts_[static_cast<size_t>(access)];
  }

 private:
  struct Key {
    std::string shader;
    Access access;
    std::vector<uint32_t> constants;
    auto operator<=>(const Key&) const = default;
  };
  struct Pipeline {
    explicit Pipeline(const Key& key) : key(key) {}
    const Key& key;  // of the map
    std::once_flag once;
    Status status;  // this and the handle: set once
    VkPipeline handle = VK_NULL_HANDLE;
  };

  explicit Pipelines(Context& context) : context_(context) {}
  Status create_layouts();
  Status load();
  // Writes the driver's cache to disk. Nothing is lost when that fails.
  void save();
  Pipeline& find(const Dispatch& dispatch, const Reach& reach);
  // From any thread.
  void compile(Pipeline& pipeline);
  Result<VkShaderModule> module(const Key& key) const;
  Status build(const Key& key, VkPipeline* made) const;

  Context& context_;
  VkPipelineCache cache_ = VK_NULL_HANDLE;  // synchronised by the driver
  std::string file_;                        // empty: nowhere to keep it
  VkDescriptorSetLayout set_layouts_[3] = {};
  VkPipelineLayout layouts_[3] = {};
  std::map<Key, std::unique_ptr<Pipeline>> pipelines_;
  std::unique_ptr<Workers> workers_;
};

}  // namespace zoetrope::vulkan
