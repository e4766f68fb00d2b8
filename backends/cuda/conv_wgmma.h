// How kernels/conv_wgmma.h is asked for a convolution.
#pragma once

#include <array>

#include "backends/cuda/kernels/conv.h"
#include "backends/cuda/kernels/conv_wgmma.h"
#include "graph/status.h"

namespace zoetrope::cuda {

// How a tile's blocks lie, and whether one part of x serves all taps along h or w.
struct ConvTiling {
  std::array<int, 3> blocks{1, 2, 2};  // along t, h, w; kConvBlocks in all
  bool flat = false;                   // blocks are 64 positions along w, else 8 × 8
  bool inner_h = true, inner_w = true;
};

// One group, zeros around h and w, strides and channels that the copy engine can count.
bool accepts_conv_wgmma_shape(const ConvParams& p);
// The tiling with the fewest positions outside y, then with the least to read.
ConvTiling choose_conv_tiling(const ConvParams& p);
// All but the tensor maps; false: it cannot be done so.
bool set_conv_tiling(const ConvParams& p, const ConvTiling& tiling, ConvWgmmaParams* to);
// The tensor maps of this call's operands.
Status map_conv_operands(const ConvParams& p, ConvWgmmaParams* to);

}  // namespace zoetrope::cuda
