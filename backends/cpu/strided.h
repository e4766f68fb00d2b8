// Walking tensors row by row where operands broadcast or are permuted.
#pragma once

#include <cstdint>

#include "graph/ops/walk.h"

namespace zoetrope::cpu {

using ops::Walk;

// Elements of one task of a cheap elementwise loop: long enough to hide the cost of handing it out.
inline constexpr int64_t kGrain = 16384;

}  // namespace zoetrope::cpu
