#include <algorithm>

#include "backends/cuda/walk.h"

namespace zoetrope::cuda {

RowLayout lay_out_rows(int64_t rows, int64_t units, int most_kept) {
  constexpr int kThreads = 128, kMostLanes = 256, kFew = 1 << 17;
  RowLayout layout;
  // Lanes hold several chunks, so that many are read at once; a warp has no need to wait for
  // others. Few rows leave the device idle: more lanes, who hold less, end sooner.
  while (layout.lanes < 32 && int64_t{layout.lanes} * 4 < units) layout.lanes *= 2;
  if (units > int64_t{32} * most_kept)
    while (layout.lanes < kMostLanes && int64_t{layout.lanes} * std::min(most_kept, 4) < units)
      layout.lanes *= 2;
  while (layout.lanes < kMostLanes && layout.lanes * 2 < units && rows * layout.lanes < kFew)
    layout.lanes *= 2;
  const int64_t rounds = std::max<int64_t>(ceil_div(units, layout.lanes), 1);
  layout.keep = rounds <= most_kept ? static_cast<int>(rounds) : 0;
  if (layout.keep == 0) layout.lanes = 512;  // as many as registers allow
  layout.threads = std::max(layout.lanes, kThreads);
  layout.blocks = static_cast<unsigned>(ceil_div(rows, layout.threads / layout.lanes));
  return layout;
}

RowBroadcast broadcast_rows(const Shape& shape, const Shape* a, const Shape* b) {
  const auto [rows, moves] = ops::row_walk(shape, a, b);
  RowBroadcast result;
  result.rank = rows.rank();
  for (int d = 0; d < result.rank; ++d) {
    result.extents[d] = Divider(rows.extents[d]);
    for (size_t k = 0; k < 2; ++k) result.steps[k][d] = rows.strides[k][ops::idx(d)];
  }
  for (size_t k = 0; k < 2; ++k) result.moves[k] = moves[k];
  return result;
}

}  // namespace zoetrope::cuda
