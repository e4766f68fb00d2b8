// Walks as parameters of kernels.
#pragma once

#include "backends/cuda/kernel.h"
#include "backends/cuda/kernels/rows.h"
#include "backends/cuda/kernels/walk.h"
#include "graph/ops/walk.h"

namespace zoetrope::cuda {

template <size_t N>
WalkParams<static_cast<int>(N)> walk_params(const ops::Walk<N>& walk) {
  WalkParams<static_cast<int>(N)> p;
  p.rank = walk.rank();
  for (int d = 0; d < p.rank; ++d) {
    p.extents[d] = Divider(walk.extents[d]);
    for (size_t k = 0; k < N; ++k) p.strides[k][d] = walk.strides[k][ops::idx(d)];
  }
  return p;
}

// How `a` and `b` (null: absent) broadcast to the rows of `shape`, whose last dimension is the row.
RowBroadcast broadcast_rows(const Shape& shape, const Shape* a, const Shape* b);

// Input i of a call as a kernel's parameter; absent where the node has none.
inline SideParams side(const KernelRequest& request, size_t i) {
  const bool given = has(request, i);
  return {nullptr, given ? in(request, i).dtype : DType::kF32, given};
}

}  // namespace zoetrope::cuda
