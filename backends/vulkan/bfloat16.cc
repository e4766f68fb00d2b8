#include "backends/vulkan/bfloat16.h"

#include <cstring>

namespace zoetrope::vulkan {
namespace {

// Of the SPIR-V specification and SPV_KHR_bfloat16.
constexpr size_t kHeader = 5;
constexpr uint32_t kOpExtension = 10, kOpCapability = 17, kOpTypeFloat = 22;
constexpr uint32_t kBFloat16Type = 5116, kBFloat16CooperativeMatrix = 5118, kBFloat16Encoding = 0;
constexpr char kExtension[] = "SPV_KHR_bfloat16";

uint32_t head(uint32_t op, size_t words) { return static_cast<uint32_t>(words << 16) | op; }

}  // namespace

std::vector<uint32_t> as_bf16(std::span<const uint32_t> words) {
  std::vector<uint32_t> made(words.begin(), words.begin() + kHeader);
  const auto append = [&](std::initializer_list<uint32_t> list) {
    made.insert(made.end(), list.begin(), list.end());
  };
  append({head(kOpCapability, 2), kBFloat16Type});
  append({head(kOpCapability, 2), kBFloat16CooperativeMatrix});
  bool extended = false;
  for (size_t at = kHeader; at < words.size();) {
    const std::span instruction = words.subspan(at, words[at] >> 16);
    const uint32_t op = words[at] & 0xffff;
    if (op != kOpCapability && !extended) {
      uint32_t name[(sizeof(kExtension) + 3) / 4] = {};
      std::memcpy(name, kExtension, sizeof(kExtension));
      append({head(kOpExtension, 1 + std::size(name))});
      made.insert(made.end(), std::begin(name), std::end(name));
      extended = true;
    }
    if (op == kOpTypeFloat && instruction[2] == 16) {
      append({head(kOpTypeFloat, 4), instruction[1], 16, kBFloat16Encoding});
    } else {
      made.insert(made.end(), instruction.begin(), instruction.end());
    }
    at += instruction.size();
  }
  return made;
}

}  // namespace zoetrope::vulkan
