#include "backends/vulkan/rows.h"

#include <algorithm>
#include <array>

#include "graph/ops/common.h"

namespace zoetrope::vulkan {
namespace {

constexpr uint32_t kMostLanes = 256;  // MOST_LANES in shaders/rows.glsl
constexpr uint32_t kMostKept = 4;     // MOST_KEPT: chunks in a lane's registers

}  // namespace

RowPlan plan_rows(int64_t rows, int64_t units, uint32_t chunk, bool keep,
                  const Capabilities& caps) {
  RowPlan plan;
  plan.chunk = chunk;
  const uint32_t most = std::min(kMostLanes, std::bit_floor(caps.max_group_size));
  while (plan.lanes < most && int64_t{plan.lanes} * 4 < units) plan.lanes *= 2;
  const int64_t rounds = std::max<int64_t>(ceil_div(units, plan.lanes), 1);
  plan.keep = keep && chunk > 1 && units > 0 && rounds <= kMostKept ? u32(rounds) : 0;
  plan.group = std::max(plan.lanes, 64u);
  plan.groups = ceil_div(rows, plan.group / plan.lanes);
  return plan;
}

uint32_t row_chunk(int64_t width, DType dtype) {
  if (width % 8 == 0 && dtype != DType::kF32) return 8;
  return width % 4 == 0 ? 4 : 1;
}

RowBroadcast broadcast_rows(const Shape& shape, const Shape* a, const Shape* b) {
  RowBroadcast result;
  const ops::Strides strides[2] = {a ? ops::broadcast_strides(*a, shape) : ops::Strides{},
                                   b ? ops::broadcast_strides(*b, shape) : ops::Strides{}};
  const int last = shape.rank() - 1;
  if (last < 0) return result;
  std::vector<std::array<int64_t, 3>> dims;  // extent and the two steps, neighbours joined
  for (int d = 0; d < last; ++d) {
    const std::array<int64_t, 3> dim{shape[d], strides[0][static_cast<size_t>(d)],
                                     strides[1][static_cast<size_t>(d)]};
    if (dim[0] == 1) continue;
    if (!dims.empty() && dims.back()[1] == dim[0] * dim[1] && dims.back()[2] == dim[0] * dim[2]) {
      dims.back() = {dims.back()[0] * dim[0], dim[1], dim[2]};
    } else {
      dims.push_back(dim);
    }
  }
  result.rank = static_cast<uint32_t>(dims.size());
  for (size_t part = 0; part < 3; ++part)
    for (const auto& dim : dims) result.params.push_back(u32(dim[part]));
  for (size_t k = 0; k < 2; ++k) result.moves[k] = strides[k][static_cast<size_t>(last)] != 0;
  return result;
}

Dispatch row_dispatch(const char* shader, const RowPlan& plan, uint32_t rank) {
  Dispatch d;
  d.shader = shader;
  d.constants = {plan.chunk, plan.lanes, plan.keep, rank};
  d.group_size = plan.group;
  d.groups = plan.groups;
  return d;
}

}  // namespace zoetrope::vulkan
