// How dequantize's attributes lay out what it reads.
#pragma once

#include "graph/attrs.h"

namespace zoetrope::ops {

struct DequantizeShape {
  int64_t rows = 0, columns = 0;
  int64_t bits = 8;
  int64_t group = 1, groups = 0;  // columns that share a scale (1 or more), scales of a row
  int64_t row_bytes = 0;          // of q
};
Result<DequantizeShape> dequantize_shape(const Attrs& attrs);

}  // namespace zoetrope::ops
