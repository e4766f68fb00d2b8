// Whole buffers to and from double: load_element and store_element over a range, fast for the
// common dtypes.
#pragma once

#include <cstdint>

#include "graph/dtype.h"

namespace zoetrope {

void load_elements(DType dtype, const void* data, int64_t count, double* to);
void store_elements(DType dtype, void* data, int64_t count, const double* from);

}  // namespace zoetrope
