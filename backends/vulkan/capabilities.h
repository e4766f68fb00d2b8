// What a Vulkan device can do, read once and restricted by DeviceOptions::force_target.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backends/vulkan/vulkan.h"
#include "graph/status.h"
#include "runtime/backend/backend.h"

namespace zoetrope::vulkan {

// Sizes of one cooperative matrix product at subgroup scope; zero: not offered.
struct MatrixTile {
  uint32_t m = 0, n = 0, k = 0;
  explicit operator bool() const { return m != 0; }
};

// Words that DeviceOptions::force_target may hold, comma-separated, for tests:
//   baseline         storage buffers only, as on plain Vulkan 1.2
//   no-f16           no f16 arithmetic, and so no cooperative matrices
//   no-coopmat       no cooperative matrices; no-bf16-coopmat, no-i8-coopmat: none of these
//   no-coopmat2      nothing of the second extension; no-coopmat2-rows: no reductions of it
//   no-dot           no products of four 8-bit integers at once
//   no-sparse        no sparse buffers
//   no-timestamps    profiles stay empty
//   segment=BYTES    no allocation above this (a power of two), and no sparse buffers
//   sparse=BYTES     no allocation above this; larger buffers are sparse
//   window=BYTES     no binding above this (a power of two)
//   memory=BYTES     no more memory than this in all
//   piece=GROUPS     no dispatch above this
//   rate=FLOPS       the device is taken to reach no more a second: work is cut accordingly
//   lose=NUMBER      the device is lost after so many submitted command buffers
//   tile=NUMBER      contractions and attention on cooperative matrices in this entry of
//                    their kTiles (*_coopmat.cc), where it fits
//   no-packed        weights stay as they are
//   packed=NUMBER    products with packed weights in this entry of their kTiles
//                    (contraction_packed.cc), where it fits
//   nearest-half     the device packs f16, trusted to round to nearest, whatever its driver;
//                    no-nearest-half: it does not
//   statistics       what the driver says of each pipeline (registers, ...) goes to standard error
//   validate         the Khronos validation layer watches; a message fails the next wait()
struct Switches {
  bool baseline = false, no_f16 = false, no_coopmat = false, no_bf16_coopmat = false,
       no_i8_coopmat = false, no_coopmat2 = false, no_coopmat2_rows = false, no_packed = false,
       no_dot = false, no_sparse = false, no_timestamps = false, nearest_half = false,
       no_nearest_half = false, statistics = false, validate = false;
  int64_t tile = 0, packed = 0, segment = 0, sparse = 0, window = 0, memory = 0, piece = 0,
          rate = 0, lose = 0;
};
Result<Switches> parse_switches(std::string_view words);

struct Capabilities {
  std::string name, driver, uuid;
  bool software = false;  // a processor's emulation
  bool discrete = false;
  uint32_t api_version = 0;
  uint32_t queue_family = 0;
  uint32_t copy_family = 0;  // of a queue that copies beside kernels; the same where there is none
  float timestamp_ns = 0;    // a tick; 0: no timestamps

  // Addresses, 64-bit integers, 8- and 16-bit storage, subgroup arithmetic: all or none.
  bool addresses = false;
  bool float16 = false;       // f16 arithmetic
  bool nearest_half = false;  // packing f32 as f16 is taken to round to nearest even
  bool integer_dot = false;   // 4 × 8-bit products
  uint32_t subgroup_size = 0;
  MatrixTile coop_f16;   // f16 × f16 + f32
  MatrixTile coop_bf16;  // bf16 × bf16 + f32
  MatrixTile coop_i8;    // i8 × i8 + i32
  // Elements of a matrix lie in the same places in every shader, eight an invocation: weights may
  // be kept in that order.
  bool packed_weights = false;
  int64_t tile = 0, packed_tile = 0;  // Switches::tile, packed
  bool coopmat2 = false;              // workgroup scope, flexible sizes, tensor addressing
  bool coopmat2_rows = false;         // reductions, conversions and changes by element

  bool statistics = false;  // of pipelines

  uint32_t max_group_size = 0;
  uint32_t max_groups = 0;     // of one dispatch, along x
  uint32_t shared_bytes = 0;   // of one group
  int64_t max_allocation = 0;  // bytes of one memory allocation and of one buffer
  int64_t max_sparse = 0;      // bytes of a buffer over several allocations; 0: not offered
  int64_t max_binding = 0;     // bytes behind one storage buffer binding
  int64_t memory_bytes = 0;    // of its own; what is left of it where the driver tells
  int64_t memory_limit = 0;    // Switches::memory
  double rate_limit = 0;       // Switches::rate
  uint64_t lost_after = 0;     // Switches::lose
  bool windows = false;        // several bindings an operand

  // What the device multiplies where both operands have this type, f16 or bf16.
  const MatrixTile& matrices_of(DType dtype) const {
    return dtype == DType::kBF16 ? coop_bf16 : coop_f16;
  }
  // Whether tensors may be kept in the order of such matrices' elements: shaders/packed.glsl.
  bool packs(const MatrixTile& t) const { return packed_weights && t.n * t.k == 8 * subgroup_size; }
  // For `zoetrope devices`.
  std::vector<std::string> features() const;
  // Floating-point operations and bytes a second that even a slow device of this kind reaches:
  // dispatches are cut so that none takes long at these rates.
  double least_rate(bool on_matrices) const;
  double least_bandwidth() const;
};

// VkPhysicalDeviceShaderBfloat16FeaturesKHR, from headers newer than those we build with.
struct BFloat16Features {
  VkStructureType sType = static_cast<VkStructureType>(1000141000);
  void* pNext = nullptr;
  VkBool32 type = VK_FALSE, dot_product = VK_FALSE, cooperative_matrix = VK_FALSE;
};

// Everything that vkCreateDevice must be asked for, chained; do not move.
struct EnabledFeatures {
  EnabledFeatures() = default;
  EnabledFeatures(const EnabledFeatures&) = delete;
  EnabledFeatures& operator=(const EnabledFeatures&) = delete;

  VkPhysicalDeviceFeatures2 base{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, nullptr, {}};
  VkPhysicalDeviceVulkan11Features v11{.sType =
                                           VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
  VkPhysicalDeviceVulkan12Features v12{.sType =
                                           VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR coopmat{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
  VkPhysicalDeviceCooperativeMatrix2FeaturesNV coopmat2{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV};
  BFloat16Features bfloat16;
  VkPhysicalDeviceMaintenance4Features maintenance4{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_FEATURES};
  VkPhysicalDeviceShaderIntegerDotProductFeatures integer_dot{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES};
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
  std::vector<const char*> extensions;
};

// kUnavailable, with the reason, when the device lacks what even the baseline needs.
Status read_capabilities(VkPhysicalDevice device, const Switches& switches, Capabilities* caps,
                         EnabledFeatures* enabled);

}  // namespace zoetrope::vulkan
