#include "graph/ops/walk.h"

namespace zoetrope::ops {

RowWalk row_walk(const Shape& shape, const Shape* a, const Shape* b) {
  const auto strides_to = [&](const Shape* operand) {
    return operand != nullptr ? broadcast_strides(*operand, shape) : Strides{};
  };
  const std::array strides{strides_to(a), strides_to(b)};
  const int last = shape.rank() - 1;
  RowWalk walk{Walk<2>(last > 0 ? Shape(shape.dims().first(idx(last))) : Shape(), strides)};
  for (size_t k = 0; k < 2 && last >= 0; ++k) walk.moves[k] = strides[k][idx(last)] != 0;
  return walk;
}

}  // namespace zoetrope::ops
