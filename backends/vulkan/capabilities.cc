#include "backends/vulkan/capabilities.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <utility>

#include "graph/text.h"

namespace zoetrope::vulkan {
namespace {

class Extensions {
 public:
  explicit Extensions(VkPhysicalDevice device) {
    uint32_t count = 0;
    vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr);
    list_.resize(count);
    vkEnumerateDeviceExtensionProperties(device, nullptr, &count, list_.data());
  }
  bool has(const char* name) const {
    return std::any_of(list_.begin(), list_.end(), [&](const VkExtensionProperties& p) {
      return std::strcmp(p.extensionName, name) == 0;
    });
  }

 private:
  std::vector<VkExtensionProperties> list_;
};

// From headers newer than those we build with.
constexpr auto kBFloat16 = static_cast<VkComponentTypeKHR>(1000141000);
constexpr const char* kBFloat16Extension = "VK_KHR_shader_bfloat16";

void read_matrix_tiles(VkPhysicalDevice device, Capabilities* caps) {
  uint32_t count = 0;
  vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, nullptr);
  std::vector<VkCooperativeMatrixPropertiesKHR> list(
      count, {.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR});
  vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, list.data());
  for (const VkCooperativeMatrixPropertiesKHR& p : list) {
    if (p.scope != VK_SCOPE_SUBGROUP_KHR || p.AType != p.BType || p.CType != p.ResultType ||
        p.saturatingAccumulation)
      continue;
    MatrixTile* tile = nullptr;
    if (p.AType == VK_COMPONENT_TYPE_FLOAT16_KHR && p.CType == VK_COMPONENT_TYPE_FLOAT32_KHR)
      tile = &caps->coop_f16;
    if (p.AType == kBFloat16 && p.CType == VK_COMPONENT_TYPE_FLOAT32_KHR) tile = &caps->coop_bf16;
    if (p.AType == VK_COMPONENT_TYPE_SINT8_KHR && p.CType == VK_COMPONENT_TYPE_SINT32_KHR)
      tile = &caps->coop_i8;
    // The first that is offered, but squares before others: kernels are shaped for them.
    if (tile == nullptr || (*tile && !(tile->m != tile->n && p.MSize == p.NSize))) continue;
    *tile = {p.MSize, p.NSize, p.KSize};
  }
}

int64_t to_int64(uint64_t value) {
  return static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX));
}

int64_t floor_power_of_two(int64_t value) {
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(value)));
}

// The largest heap of the device's own; what other programs leave of it where the driver tells.
int64_t memory_of(VkPhysicalDevice device, bool has_budget) {
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  VkPhysicalDeviceMemoryProperties2 memory{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
  if (has_budget) memory.pNext = &budget;
  vkGetPhysicalDeviceMemoryProperties2(device, &memory);
  int64_t most = 0;
  for (uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; ++i) {
    const VkMemoryHeap& heap = memory.memoryProperties.memoryHeaps[i];
    if ((heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) == 0) continue;
    const uint64_t left = budget.heapBudget[i] > 0 ? budget.heapBudget[i] : heap.size;
    most = std::max(most, to_int64(std::min<uint64_t>(heap.size, left)));
  }
  return most;
}

void apply(const Switches& switches, Capabilities* caps) {
  if (switches.baseline) {
    caps->addresses = caps->float16 = caps->nearest_half = caps->integer_dot = false;
    caps->max_sparse = 0;
    caps->max_group_size = std::min(caps->max_group_size, 128u);  // what Vulkan 1.2 promises
    caps->shared_bytes = std::min(caps->shared_bytes, 16384u);
  }
  if (switches.no_f16) caps->float16 = false;
  if (switches.no_nearest_half) caps->nearest_half = false;
  if (switches.no_dot) caps->integer_dot = false;
  if (switches.no_timestamps) caps->timestamp_ns = 0;
  if (switches.no_coopmat || !caps->addresses || !caps->float16)
    caps->coop_f16 = caps->coop_bf16 = caps->coop_i8 = {};
  if (switches.no_bf16_coopmat) caps->coop_bf16 = {};
  if (switches.no_i8_coopmat) caps->coop_i8 = {};
  if (switches.no_packed || !caps->coop_f16) caps->packed_weights = false;
  if (switches.no_coopmat2 || !caps->coop_f16) caps->coopmat2 = caps->coopmat2_rows = false;
  if (switches.no_coopmat2_rows) caps->coopmat2_rows = false;
  if (switches.no_sparse || switches.segment > 0) caps->max_sparse = 0;
  if (switches.segment > 0) caps->max_allocation = std::min(caps->max_allocation, switches.segment);
  if (switches.sparse > 0) caps->max_allocation = std::min(caps->max_allocation, switches.sparse);
  caps->tile = switches.tile;
  caps->packed_tile = switches.packed;
  if (switches.window > 0) caps->max_binding = std::min(caps->max_binding, switches.window);
  if (switches.memory > 0) caps->memory_bytes = std::min(caps->memory_bytes, switches.memory);
  caps->memory_limit = switches.memory;
  caps->rate_limit = static_cast<double>(switches.rate);
  caps->lost_after = static_cast<uint64_t>(switches.lose);
  if (switches.piece > 0)
    caps->max_groups = static_cast<uint32_t>(std::min<int64_t>(caps->max_groups, switches.piece));
}

Status find_queue(VkPhysicalDevice device, Capabilities* caps) {
  uint32_t count = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
  for (uint32_t i = 0; i < count; ++i) {
    if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0) continue;
    caps->queue_family = caps->copy_family = i;
    for (uint32_t j = 0; j < count; ++j)
      if ((families[j].queueFlags & VK_QUEUE_TRANSFER_BIT) != 0 &&
          (families[j].queueFlags & (VK_QUEUE_COMPUTE_BIT | VK_QUEUE_GRAPHICS_BIT)) == 0) {
        caps->copy_family = j;
        break;
      }
    if (families[i].timestampValidBits == 0) caps->timestamp_ns = 0;
    if ((families[i].queueFlags & VK_QUEUE_SPARSE_BINDING_BIT) == 0) caps->max_sparse = 0;
    return Status();
  }
  return error(Code::kUnavailable, "'", caps->name, "' has no queue for compute");
}

constexpr std::pair<std::string_view, bool Switches::*> kFlags[] = {
    {"baseline", &Switches::baseline},
    {"no-f16", &Switches::no_f16},
    {"no-coopmat", &Switches::no_coopmat},
    {"no-bf16-coopmat", &Switches::no_bf16_coopmat},
    {"no-i8-coopmat", &Switches::no_i8_coopmat},
    {"no-coopmat2", &Switches::no_coopmat2},
    {"no-coopmat2-rows", &Switches::no_coopmat2_rows},
    {"no-packed", &Switches::no_packed},
    {"no-dot", &Switches::no_dot},
    {"no-sparse", &Switches::no_sparse},
    {"no-timestamps", &Switches::no_timestamps},
    {"nearest-half", &Switches::nearest_half},
    {"no-nearest-half", &Switches::no_nearest_half},
    {"statistics", &Switches::statistics},
    {"validate", &Switches::validate},
};

struct Number {
  std::string_view name;
  int64_t Switches::*value;
  bool power;  // of two, and not too small
};
constexpr Number kNumbers[] = {
    {"tile", &Switches::tile, false},    {"packed", &Switches::packed, false},
    {"piece", &Switches::piece, false},  {"rate", &Switches::rate, false},
    {"lose", &Switches::lose, false},    {"memory", &Switches::memory, false},
    {"window", &Switches::window, true}, {"segment", &Switches::segment, true},
    {"sparse", &Switches::sparse, true},
};

std::string known_words() {
  std::string text, powers;
  for (const auto& [name, flag] : kFlags) text += str(name, ", ");
  for (const Number& number : kNumbers)
    (number.power ? powers : text) += str(number.name, "=NUMBER, ");
  powers.resize(powers.size() - 2);
  return str(text, "and with powers of two from 4096 ", powers);
}

}  // namespace

Result<Switches> parse_switches(std::string_view words) {
  Switches switches;
  while (!words.empty()) {
    const size_t comma = words.find(',');
    const std::string_view word = words.substr(0, comma);
    words.remove_prefix(comma == std::string_view::npos ? words.size() : comma + 1);
    const size_t equals = word.find('=');
    const std::string_view key = word.substr(0, equals);
    bool good = false;
    for (const auto& [name, flag] : kFlags)
      if (word == name) switches.*flag = good = true;
    for (const Number& number : kNumbers) {
      if (key != number.name || equals == std::string_view::npos) continue;
      const std::string_view digits = word.substr(equals + 1);
      int64_t& value = switches.*number.value;
      const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      good =
          ec == std::errc() && end == digits.data() + digits.size() && value > 0 &&
          (!number.power || (value >= 4096 && std::has_single_bit(static_cast<uint64_t>(value))));
    }
    if (!good)
      return error(Code::kInvalidArgument, "target '", word,
                   "' means nothing to the vulkan backend; it knows ", known_words());
  }
  return switches;
}

Status read_capabilities(VkPhysicalDevice device, const Switches& switches, Capabilities* caps,
                         EnabledFeatures* enabled) {
  VkPhysicalDeviceVulkan11Properties v11{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES};
  VkPhysicalDeviceVulkan12Properties v12{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES, .pNext = &v11};
  VkPhysicalDeviceMaintenance4Properties maintenance4{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
      .maxBufferSize = UINT64_MAX};
  const Extensions extensions(device);
  if (extensions.has(VK_KHR_MAINTENANCE_4_EXTENSION_NAME)) v11.pNext = &maintenance4;
  VkPhysicalDeviceProperties2 properties{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &v12, {}};
  vkGetPhysicalDeviceProperties2(device, &properties);
  const uint64_t max_buffer = maintenance4.maxBufferSize;
  const VkPhysicalDeviceLimits& limits = properties.properties.limits;
  caps->name = properties.properties.deviceName;
  caps->api_version = properties.properties.apiVersion;
  if (caps->api_version < VK_API_VERSION_1_2)
    return error(Code::kUnavailable, "'", caps->name, "' has Vulkan ",
                 VK_API_VERSION_MAJOR(caps->api_version), ".",
                 VK_API_VERSION_MINOR(caps->api_version), "; 1.2 is needed");
  caps->driver = str(v12.driverName, " ", v12.driverInfo);
  caps->uuid = to_hex({reinterpret_cast<const char*>(v11.deviceUUID), VK_UUID_SIZE});
  // By conformance on an H100; Vulkan itself leaves the rounding open.
  caps->nearest_half = switches.nearest_half || v12.driverID == VK_DRIVER_ID_NVIDIA_PROPRIETARY;
  // Vulkan leaves it to the driver where elements lie; conformance ran on these.
  caps->packed_weights =
      v12.driverID == VK_DRIVER_ID_NVIDIA_PROPRIETARY || v12.driverID == VK_DRIVER_ID_MESA_LLVMPIPE;
  caps->software = properties.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
  caps->discrete = properties.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
  caps->timestamp_ns = limits.timestampPeriod;
  caps->subgroup_size = v11.subgroupSize;
  caps->max_group_size =
      std::min(limits.maxComputeWorkGroupInvocations, limits.maxComputeWorkGroupSize[0]);
  caps->max_groups = limits.maxComputeWorkGroupCount[0];
  caps->shared_bytes = limits.maxComputeSharedMemorySize;
  caps->max_allocation =
      floor_power_of_two(to_int64(std::min<uint64_t>(v11.maxMemoryAllocationSize, max_buffer)));
  caps->max_binding = floor_power_of_two(limits.maxStorageBufferRange);
  caps->windows = limits.maxPerStageDescriptorStorageBuffers >= 12 * 8 + 1 &&
                  limits.maxDescriptorSetStorageBuffers >= 12 * 8 + 1;
  if (limits.maxPerStageDescriptorStorageBuffers < 13)
    return error(Code::kUnavailable, "'", caps->name, "' binds ",
                 limits.maxPerStageDescriptorStorageBuffers, " buffers to a shader; 13 are needed");

  const bool has_coopmat = extensions.has(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
  const bool has_coopmat2 =
      has_coopmat && extensions.has(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME);
  const bool has_dot = extensions.has(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME) ||
                       caps->api_version >= VK_API_VERSION_1_3;
  EnabledFeatures found;
  found.base.pNext = &found.v11;
  found.v11.pNext = &found.v12;
  void** last = &found.v12.pNext;
  const auto chain = [&last](auto* features) {
    *last = features;
    last = &features->pNext;
  };
  if (has_coopmat) chain(&found.coopmat);
  if (has_coopmat2) chain(&found.coopmat2);
  if (has_dot) chain(&found.integer_dot);
  if (extensions.has(kBFloat16Extension)) chain(&found.bfloat16);
  if (switches.statistics && extensions.has(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME))
    chain(&found.statistics);
  vkGetPhysicalDeviceFeatures2(device, &found.base);

  constexpr VkSubgroupFeatureFlags kSubgroup = VK_SUBGROUP_FEATURE_BASIC_BIT |
                                               VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                               VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
  caps->addresses = found.v12.bufferDeviceAddress && found.base.features.shaderInt64 &&
                    found.v11.storageBuffer16BitAccess && found.v12.storageBuffer8BitAccess &&
                    (v11.subgroupSupportedOperations & kSubgroup) == kSubgroup &&
                    (v11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
  caps->float16 = found.v12.shaderFloat16;
  caps->integer_dot = has_dot && found.integer_dot.shaderIntegerDotProduct;
  if (found.base.features.sparseBinding && found.base.features.sparseResidencyBuffer)
    caps->max_sparse = to_int64(std::min<uint64_t>(limits.sparseAddressSpaceSize, max_buffer));
  if (has_coopmat && found.coopmat.cooperativeMatrix && found.v12.vulkanMemoryModel)
    read_matrix_tiles(device, caps);
  if (!found.v12.shaderInt8) caps->coop_i8 = {};
  if (!found.bfloat16.type || !found.bfloat16.cooperative_matrix) caps->coop_bf16 = {};
  const VkPhysicalDeviceCooperativeMatrix2FeaturesNV& two = found.coopmat2;
  caps->coopmat2 =
      has_coopmat2 && two.cooperativeMatrixWorkgroupScope &&
      two.cooperativeMatrixFlexibleDimensions && two.cooperativeMatrixTensorAddressing &&
      two.cooperativeMatrixPerElementOperations && caps->api_version >= VK_API_VERSION_1_3;
  caps->coopmat2_rows = has_coopmat2 && two.cooperativeMatrixFlexibleDimensions &&
                        two.cooperativeMatrixReductions && two.cooperativeMatrixConversions &&
                        two.cooperativeMatrixPerElementOperations &&
                        caps->api_version >= VK_API_VERSION_1_3;
  caps->statistics = found.statistics.pipelineExecutableInfo;
  ZT_RETURN_IF_ERROR(find_queue(device, caps));
  caps->memory_bytes = memory_of(device, extensions.has(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME));
  apply(switches, caps);

  // What is asked for: only what is used.
  enabled->base.pNext = &enabled->v11;
  enabled->v11.pNext = &enabled->v12;
  enabled->v12.timelineSemaphore = VK_TRUE;
  last = &enabled->v12.pNext;
  if (caps->addresses) {
    enabled->v12.bufferDeviceAddress = VK_TRUE;
    enabled->base.features.shaderInt64 = VK_TRUE;
    enabled->v11.storageBuffer16BitAccess = VK_TRUE;
    enabled->v12.storageBuffer8BitAccess = VK_TRUE;
  }
  enabled->v12.shaderFloat16 = caps->float16;
  enabled->base.features.sparseBinding = caps->max_sparse > 0;
  enabled->base.features.sparseResidencyBuffer = caps->max_sparse > 0;
  enabled->v12.shaderInt8 = static_cast<bool>(caps->coop_i8);
  if (caps->coop_f16 || caps->coop_i8) {
    enabled->v12.vulkanMemoryModel = VK_TRUE;
    enabled->v12.vulkanMemoryModelDeviceScope = found.v12.vulkanMemoryModelDeviceScope;
    enabled->coopmat.cooperativeMatrix = VK_TRUE;
    enabled->extensions.push_back(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    chain(&enabled->coopmat);
  }
  if (caps->coop_bf16) {
    enabled->bfloat16.type = enabled->bfloat16.cooperative_matrix = VK_TRUE;
    enabled->extensions.push_back(kBFloat16Extension);
    chain(&enabled->bfloat16);
  }
  if (caps->coopmat2 || caps->coopmat2_rows) {
    enabled->coopmat2 = two;
    enabled->coopmat2.pNext = nullptr;
    enabled->extensions.push_back(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME);
    chain(&enabled->coopmat2);
    enabled->maintenance4.maintenance4 = VK_TRUE;  // group sizes by constants in SPIR-V 1.6
    chain(&enabled->maintenance4);
  }
  if (caps->statistics) {
    enabled->statistics.pipelineExecutableInfo = VK_TRUE;
    enabled->extensions.push_back(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
    chain(&enabled->statistics);
  }
  if (caps->integer_dot) {
    enabled->integer_dot.shaderIntegerDotProduct = VK_TRUE;
    if (caps->api_version < VK_API_VERSION_1_3)
      enabled->extensions.push_back(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    chain(&enabled->integer_dot);
  }
  return Status();
}

std::vector<std::string> Capabilities::features() const {
  std::vector<std::string> list;
  const auto tile = [&](const char* name, const MatrixTile& t) {
    if (t) list.push_back(str(name, "_", t.m, "x", t.n, "x", t.k));
  };
  if (addresses)
    list.insert(list.end(), {"buffer_address", "int64", "storage_8bit", "storage_16bit",
                             "subgroup_arithmetic"});
  if (float16) list.push_back("f16");
  if (nearest_half) list.push_back("f16_packing");
  if (integer_dot) list.push_back("integer_dot");
  if (max_sparse > max_allocation) list.push_back("sparse");
  tile("cooperative_matrix_f16", coop_f16);
  tile("cooperative_matrix_bf16", coop_bf16);
  tile("cooperative_matrix_i8", coop_i8);
  if (packed_weights) list.push_back("packed_weights");
  if (coopmat2) list.push_back("cooperative_matrix2");
  if (coopmat2_rows) list.push_back("cooperative_matrix2_reductions");
  if (timestamp_ns > 0) list.push_back("timestamps");
  list.push_back(str("subgroup_", subgroup_size));
  return list;
}

double Capabilities::least_rate(bool on_matrices) const {
  if (rate_limit > 0) return rate_limit;
  if (software) return 5e9;
  return (discrete ? 1e12 : 1e11) * (on_matrices ? 10 : 1);
}

double Capabilities::least_bandwidth() const {
  if (rate_limit > 0) return rate_limit;
  if (software) return 1e9;
  return discrete ? 5e10 : 1e10;
}

}  // namespace zoetrope::vulkan
