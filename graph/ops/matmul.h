// How every kernel sees the shapes of matmul and fused_linear.
#pragma once

#include "graph/ops/walk.h"

namespace zoetrope::ops {

// Products c [m, n] = a [m, k] × b [k, n], one after the other in c.
struct MatmulShape {
  int64_t m = 0, k = 0, n = 0;
  // Over the products; a step counts elements of a and of b from one's matrix to the next one's. At
  // most four dimensions; one product is one of extent 1. Where b is a single matrix that all of a
  // meets, the leading dimensions of a are rows.
  Walk<2> products;
};
MatmulShape matmul_shape(const Shape& a, const Shape& b, const Shape& c);

}  // namespace zoetrope::ops
