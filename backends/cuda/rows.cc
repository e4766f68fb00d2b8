#include <algorithm>

#include "backends/cuda/walk.h"

namespace zoetrope::cuda {

RowPlan plan_rows(int64_t rows, int64_t units) {
  constexpr int kMostLanes = 512, kMostKept = 6, kThreads = 128;
  constexpr int64_t kBusy = 65536;  // threads that keep a large device busy
  RowPlan plan;
  // A warp has no need to wait for others; beyond it, lanes hold few chunks so that many are read
  // at once.
  while (plan.lanes < 32 && plan.lanes < units) plan.lanes *= 2;
  if (units > int64_t{32} * kMostKept)
    while (plan.lanes < kMostLanes && int64_t{plan.lanes} * 4 < units) plan.lanes *= 2;
  // Few rows: more threads for each.
  while (plan.lanes < 256 && plan.lanes < units && rows * plan.lanes < kBusy) plan.lanes *= 2;
  const int64_t rounds = std::max<int64_t>(ceil_div(units, plan.lanes), 1);
  plan.keep = rounds <= kMostKept ? static_cast<int>(rounds) : 0;
  plan.threads = std::max(plan.lanes, kThreads);
  plan.blocks = static_cast<unsigned>(ceil_div(rows, plan.threads / plan.lanes));
  return plan;
}

RowBroadcast broadcast_rows(const Shape& shape, const Shape* a, const Shape* b) {
  RowBroadcast result;
  const int last = shape.rank() - 1;
  if (last < 0) return result;
  const ops::Strides none{};
  const std::array<ops::Strides, 2> strides{a ? ops::broadcast_strides(*a, shape) : none,
                                            b ? ops::broadcast_strides(*b, shape) : none};
  Shape rows;
  for (int d = 0; d < last; ++d) rows.push_back(shape[d]);
  const ops::Walk<2> walk(rows, strides);
  result.rank = static_cast<int>(walk.rank());
  for (size_t d = 0; d < walk.extents.size(); ++d) {
    result.extents[d] = Divider(walk.extents[d]);
    for (size_t k = 0; k < 2; ++k) result.steps[k][d] = walk.strides[k][d];
  }
  for (size_t k = 0; k < 2; ++k) result.moves[k] = strides[k][static_cast<size_t>(last)] != 0;
  return result;
}

}  // namespace zoetrope::cuda
