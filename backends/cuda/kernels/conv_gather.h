// Convolutions as matrix products whose left side is gathered from x: a row is a position of y, the
// depth runs over taps and, within a tap, over a group's channels. A transposed convolution is
// several of them: output positions with one remainder by the stride see the same few taps. Each
// remainder of each group is a product.
#pragma once

#include "backends/cuda/kernels/conv.h"

namespace zoetrope::cuda {

// One dimension of a remainder. Row r is position first + r·step of y. Its tap j multiplies element
// base + r·row_step + j·move of x by element tap_first + j·tap_step of the weight.
struct ConvAxis {
  int first = 0, step = 1, rows = 0;
  int base = 0, row_step = 1, move = 1;
  int taps = 0, tap_first = 0, tap_step = 1;
  Divider by_rows, by_taps;
};
inline constexpr int64_t kMostRemainders = 8;  // along a dimension

struct ConvGather {
  ConvParams p;
  int remainders[3] = {1, 1, 1};
  ConvAxis axis[3][kMostRemainders];  // of dimension and remainder
  int width = 0;                      // channels of a group
  Divider by_width;
  int64_t rows = 0, products = 0;  // of the largest remainder; remainders and groups
};

// Whether all indices have 31 bits and the remainders fit; else conv_direct it is.
bool accepts_conv_gather(const ConvParams& p);
ConvGather conv_gather(const ConvParams& p);

}  // namespace zoetrope::cuda
