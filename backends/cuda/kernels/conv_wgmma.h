// Convolutions of f16 and bf16 on Hopper's tensor cores (sm_90a).
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/activation.h"
#include "backends/cuda/kernels/divider.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

// A block makes kConvBlocks blocks of 64 positions, each 8 × 8 (or 64 × 1) along h and w, of up to
// 192 filters.
inline constexpr int kConvBlocks = 4;
// Blocks that share filters: tiles of one plane, side by side.
inline constexpr int kConvCluster = 2;
// Positions of x that a part in shared memory has room for: the tile and what its taps reach.
inline constexpr int kConvPartRows = 368;

struct ConvWgmmaParams {
  // x and y: channel, w, h, t, batch; boxes of 64 channels and of part positions (x) or of a block
  // (y). weight: channel, tap, filter; boxes of 64, 1 and a tile's
  // filters, shared by a cluster. See TensorBox.
  CUtensorMap x, weight, y;
  const void* bias;  // [filters]; null: none
  int channels, filters, tile_filters;
  int tiles[3], batch, columns;    // t, h, w; tiles along the filters
  int block[3], tile[3], part[3];  // positions of a block, of a tile, and of x in a part
  int kernel[3], stride[3], dilation[3], pad[3], in_t;
  bool replicate_t;              // frames beyond x's are its first and last; tiles have one frame
  bool inner_h, inner_w;         // whether a part serves all taps along h or w, whose stride is 1
  int block_at[kConvBlocks][3];  // t, h, w within the tile
  int block_row[kConvBlocks];    // of its first position in a part
  int next_eight;                // rows of a part from 8 positions of a block to the next 8
  Activation activation;
  DType dtype, bias_dtype;
  int multiprocessors;
};

// Of tiles in a plane, and of all.
ZT_HOST_DEVICE inline int conv_plane_pairs(const ConvWgmmaParams& p) {
  return (p.tiles[1] * p.tiles[2] + kConvCluster - 1) / kConvCluster;
}
ZT_HOST_DEVICE inline int conv_pairs(const ConvWgmmaParams& p) {
  return p.columns * conv_plane_pairs(p) * p.tiles[0] * p.batch;
}

// The taps along t that see anything of x from a tile that begins at t, one at least.
ZT_HOST_DEVICE inline int conv_tap_begin(const ConvWgmmaParams& p, int t) {
  int tap = 0;
  while (!p.replicate_t && tap < p.kernel[0] - 1 &&
         (t + p.tile[0] - 1) * p.stride[0] + tap * p.dilation[0] - p.pad[0] < 0)
    ++tap;
  return tap;
}
ZT_HOST_DEVICE inline int conv_tap_end(const ConvWgmmaParams& p, int t) {
  int end = p.kernel[0];
  const int begin = conv_tap_begin(p, t);
  while (!p.replicate_t && end > begin + 1 &&
         t * p.stride[0] + (end - 1) * p.dilation[0] - p.pad[0] >= p.in_t)
    --end;
  return end;
}

cudaError_t conv_wgmma(const ConvWgmmaParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
