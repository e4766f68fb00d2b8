#include "backends/vulkan/rows.h"

#include <algorithm>
#include <array>

#include "graph/ops/walk.h"

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
  const auto [rows, moves] = ops::row_walk(shape, a, b);
  RowBroadcast result{.moves = {moves[0], moves[1]}};
  const int rank = rows.extents == Shape{1} ? 0 : rows.rank();  // none where there is one row
  result.rank = u32(rank);
  for (int d = 0; d < rank; ++d) result.params.push_back(u32(rows.extents[d]));
  for (const ops::Strides& strides : rows.strides)
    for (int d = 0; d < rank; ++d) result.params.push_back(u32(strides[ops::idx(d)]));
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
