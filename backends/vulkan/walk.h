// Walks as parameters of shaders: what shaders/walk.glsl reads.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "graph/ops/walk.h"

namespace zoetrope::vulkan {

using ops::Walk;

// Division of any 32-bit number by `d` ≥ 1 without dividing: quotient() in shaders/walk.glsl
// (Granlund and Montgomery 1994, figure 4.1). Returns {multiplier, shift}.
inline std::array<uint32_t, 2> divisor(uint64_t d) {
  const auto shift = static_cast<uint32_t>(std::bit_width(d - 1));
  const uint64_t multiplier = (((uint64_t{1} << shift) - d) << 32) / d + 1;
  return {static_cast<uint32_t>(multiplier), shift};
}
// `n`, or 1 where that is less, and its divisor.
inline void append_divisor(int64_t n, std::vector<uint32_t>* params) {
  const auto d = static_cast<uint64_t>(std::max<int64_t>(n, 1));
  const auto by = divisor(d);
  params->insert(params->end(), {static_cast<uint32_t>(d), by[0], by[1]});
}

// A dimension after the other: extent, divisor, stride of each operand.
template <size_t N>
void append_walk(const ops::Walk<N>& walk, std::vector<uint32_t>* params) {
  for (int d = 0; d < walk.rank(); ++d) {
    append_divisor(walk.extents[d], params);
    for (const ops::Strides& strides : walk.strides)
      params->push_back(static_cast<uint32_t>(strides[ops::idx(d)]));
  }
}

}  // namespace zoetrope::vulkan
