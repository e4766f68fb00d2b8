#include "backends/vulkan/rows.h"

#include <algorithm>
#include <array>

#include "graph/ops/walk.h"

namespace zoetrope::vulkan {
namespace {

constexpr uint32_t kMostLanes = 256;  // MOST_LANES in shaders/rows.glsl

}  // namespace

RowLayout lay_out_rows(int64_t rows, int64_t units, uint32_t chunk, bool keep,
                       const Capabilities& caps, uint32_t most_kept) {
  RowLayout layout;
  layout.chunk = chunk;
  const uint32_t most = std::min(kMostLanes, std::bit_floor(caps.max_group_size));
  while (layout.lanes < most && int64_t{layout.lanes} * 4 < units) layout.lanes *= 2;
  const int64_t rounds = std::max<int64_t>(ceil_div(units, layout.lanes), 1);
  layout.keep = keep && chunk > 1 && units > 0 && rounds <= most_kept ? u32(rounds) : 0;
  layout.group = std::max(layout.lanes, 64u);
  layout.groups = ceil_div(rows, layout.group / layout.lanes);
  return layout;
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

Dispatch row_dispatch(const char* shader, const RowLayout& layout, uint32_t rank) {
  Dispatch d;
  d.shader = shader;
  d.constants = {layout.chunk, layout.lanes, layout.keep, rank};
  d.group_size = layout.group;
  d.groups = layout.groups;
  return d;
}

}  // namespace zoetrope::vulkan
