#include "backends/vulkan/pipelines.h"

#include <algorithm>
#include <cstdio>

#include "backends/vulkan/bfloat16.h"
#include "graph/text.h"
#include "runtime/backend/cache_file.h"

namespace zoetrope::vulkan {
namespace {

// Specialization constants that every shader has: tensor.glsl.
constexpr uint32_t kSegmentedId = 12, kGroupSizeId = 13, kWindowShiftId = 14,
                   kGroupSizeAgainId = 15, kFirstOwnId = 16, kNearestHalfId = 99;

// One line: every number that the driver tells.
void print_statistics(VkDevice device, const std::string& shader, VkPipeline pipeline) {
  VkPipelineExecutableInfoKHR info{.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR};
  info.pipeline = pipeline;
  uint32_t count = 0;
  if (vkGetPipelineExecutableStatisticsKHR(device, &info, &count, nullptr) != VK_SUCCESS) return;
  std::vector<VkPipelineExecutableStatisticKHR> list(
      count, {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR});
  if (vkGetPipelineExecutableStatisticsKHR(device, &info, &count, list.data()) < 0) return;
  std::string line = str("vulkan: ", shader, ":");
  for (const VkPipelineExecutableStatisticKHR& s : list)
    if (s.format != VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR)
      line += str(" ", s.name, " ", s.value.u64, ";");
  std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace

Result<std::unique_ptr<Pipelines>> Pipelines::create(Context& context, int threads) {
  // Drivers take some hundred megabytes for a large shader.
  constexpr int kMostThreads = 16;
  std::unique_ptr<Pipelines> made(new Pipelines(context));
  ZT_RETURN_IF_ERROR(made->create_layouts());
  ZT_RETURN_IF_ERROR(made->load());
  made->workers_ =
      std::make_unique<Workers>(static_cast<size_t>(std::clamp(threads, 1, kMostThreads) - 1));
  return made;
}

Status Pipelines::create_layouts() {
  for (const Access access : {Access::kAddresses, Access::kBindings, Access::kWindows}) {
    const auto i = static_cast<size_t>(access);
    if (access == Access::kAddresses && !context_.caps.addresses) continue;
    if (access == Access::kWindows && !context_.caps.windows) continue;
    VkPushConstantRange push{VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(BindingPush)};
    VkPipelineLayoutCreateInfo info{.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
    info.pushConstantRangeCount = 1;
    info.pPushConstantRanges = &push;
    if (access == Access::kAddresses) {
      push.size = sizeof(AddressPush);
    } else {
      std::array<VkDescriptorSetLayoutBinding, 13> bindings{};
      for (uint32_t b = 0; b < bindings.size(); ++b) {
        bindings[b].binding = b;
        bindings[b].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
        bindings[b].descriptorCount = access == Access::kWindows && b < 12 ? kWindows : 1;
        bindings[b].stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
      }
      VkDescriptorSetLayoutCreateInfo set{.sType =
                                              VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO};
      set.bindingCount = static_cast<uint32_t>(bindings.size());
      set.pBindings = bindings.data();
      ZT_RETURN_IF_ERROR(
          check(vkCreateDescriptorSetLayout(context_.device, &set, nullptr, &set_layouts_[i]),
                "creating a descriptor layout"));
      info.setLayoutCount = 1;
      info.pSetLayouts = &set_layouts_[i];
    }
    ZT_RETURN_IF_ERROR(check(vkCreatePipelineLayout(context_.device, &info, nullptr, &layouts_[i]),
                             "creating a pipeline layout"));
  }
  return Status();
}

// The driver checks its own header (vendor, device, driver version) and starts afresh when it does
// not fit. It is given only what is whole: it may trust the rest.
Status Pipelines::load() {
  VkPhysicalDeviceProperties properties;
  vkGetPhysicalDeviceProperties(context_.physical, &properties);
  const std::string driver =
      to_hex({reinterpret_cast<const char*>(properties.pipelineCacheUUID), VK_UUID_SIZE});
  file_ = cache_path(str("vulkan-2-", driver, ".bin"));  // 2: our version of the file
  const std::string bytes = read_sealed_cache(file_, size_t{256} << 20);
  VkPipelineCacheCreateInfo info{.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
  info.initialDataSize = bytes.size();
  info.pInitialData = bytes.data();
  if (vkCreatePipelineCache(context_.device, &info, nullptr, &cache_) == VK_SUCCESS)
    return Status();
  info.initialDataSize = 0;
  return check(vkCreatePipelineCache(context_.device, &info, nullptr, &cache_),
               "creating a pipeline cache");
}

void Pipelines::save() {
  if (file_.empty() || pipelines_.empty()) return;
  size_t size = 0;
  if (vkGetPipelineCacheData(context_.device, cache_, &size, nullptr) != VK_SUCCESS) return;
  std::string bytes(size, '\0');
  if (vkGetPipelineCacheData(context_.device, cache_, &size, bytes.data()) != VK_SUCCESS) return;
  bytes.resize(size);
  write_sealed_cache(file_, bytes);
}

Pipelines::~Pipelines() {
  workers_.reset();
  save();
  for (const auto& [key, pipeline] : pipelines_)
    vkDestroyPipeline(context_.device, pipeline->handle, nullptr);
  for (VkPipelineLayout layout : layouts_)
    vkDestroyPipelineLayout(context_.device, layout, nullptr);
  for (VkDescriptorSetLayout layout : set_layouts_)
    vkDestroyDescriptorSetLayout(context_.device, layout, nullptr);
  vkDestroyPipelineCache(context_.device, cache_, nullptr);
}

Pipelines::Pipeline& Pipelines::find(const Dispatch& dispatch, const Reach& reach) {
  Key key{dispatch.shader, reach.access, {}};
  for (size_t k = 0; k < 12; ++k)
    key.constants.push_back(
        k < dispatch.operands.size() ? static_cast<uint32_t>(dispatch.operands[k].dtype) : 0);
  key.constants.push_back(reach.segmented);
  key.constants.push_back(dispatch.group_size);
  key.constants.push_back(reach.window_shift);
  key.constants.push_back(dispatch.group_size);
  key.constants.insert(key.constants.end(), dispatch.constants.begin(), dispatch.constants.end());
  const auto [it, added] = pipelines_.try_emplace(std::move(key));
  if (added) {
    it->second = std::make_unique<Pipeline>(it->first);
    workers_->add([this, pipeline = it->second.get()] { compile(*pipeline); });
  }
  return *it->second;
}

Result<VkPipeline> Pipelines::get(const Dispatch& dispatch, const Reach& reach) {
  Pipeline& pipeline = find(dispatch, reach);
  compile(pipeline);
  ZT_RETURN_IF_ERROR(pipeline.status);
  return pipeline.handle;
}

void Pipelines::compile(Pipeline& pipeline) {
  std::call_once(pipeline.once, [&] { pipeline.status = build(pipeline.key, &pipeline.handle); });
}

Result<VkShaderModule> Pipelines::module(const Key& key) const {
  const std::string& shader = key.shader;
  constexpr std::string_view kBF16 = ":bf16";
  const bool bf16 = shader.ends_with(kBF16);
  std::span<const uint32_t> words =
      find_shader(bf16 ? shader.substr(0, shader.size() - kBF16.size()) : shader, key.access);
  if (words.empty())
    return error(Code::kInternal, "shader '", shader, "' was not built for this way of access");
  std::vector<uint32_t> turned;
  if (bf16) words = turned = as_bf16(words);
  VkShaderModuleCreateInfo info{.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
  info.codeSize = words.size_bytes();
  info.pCode = words.data();
  VkShaderModule module = VK_NULL_HANDLE;
  ZT_RETURN_IF_ERROR(check(vkCreateShaderModule(context_.device, &info, nullptr, &module),
                           str("loading shader ", shader)));
  return module;
}

Status Pipelines::build(const Key& key, VkPipeline* made) const {
  static_assert(kGroupSizeId == kSegmentedId + 1 && kWindowShiftId == kGroupSizeId + 1 &&
                kGroupSizeAgainId == kWindowShiftId + 1 && kFirstOwnId == kGroupSizeAgainId + 1);
  std::vector<VkSpecializationMapEntry> entries;
  for (uint32_t i = 0; i < key.constants.size(); ++i)
    entries.push_back({i, i * static_cast<uint32_t>(sizeof(uint32_t)), sizeof(uint32_t)});
  std::vector<uint32_t> values = key.constants;
  entries.push_back(
      {kNearestHalfId, static_cast<uint32_t>(values.size() * sizeof(uint32_t)), sizeof(uint32_t)});
  values.push_back(context_.caps.nearest_half);
  const VkSpecializationInfo constants{static_cast<uint32_t>(entries.size()), entries.data(),
                                       values.size() * sizeof(uint32_t), values.data()};
  VkComputePipelineCreateInfo info{.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  ZT_ASSIGN_OR_RETURN(info.stage.module, module(key));
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &constants;
  info.layout = layout(key.access);
  if (context_.caps.statistics) info.flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
  const VkResult result =
      vkCreateComputePipelines(context_.device, cache_, 1, &info, nullptr, made);
  vkDestroyShaderModule(context_.device, info.stage.module, nullptr);
  ZT_RETURN_IF_ERROR(check(result, str("compiling shader ", key.shader)));
  if (context_.caps.statistics) print_statistics(context_.device, key.shader, *made);
  return Status();
}

}  // namespace zoetrope::vulkan
