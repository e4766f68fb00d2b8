// Attention on Hopper's tensor cores (sm_90a).
#pragma once

#include <cuda.h>

#include "backends/cuda/kernels/attention.h"

namespace zoetrope::cuda {

inline constexpr int kAttentionRows = 128;       // queries of a block
inline constexpr int kAttentionSplitKeys = 128;  // the tile of keys that may come in parts

// f16 and bf16, one dim of at most 128 for keys and values, a multiple of 8; no mask; scale > 0.
struct AttentionWgmmaParams {
  AttentionParams p;
  int padded = 128;  // the dim that is computed on: 64, 80 or 128
  int tile = 128;    // keys at once
  int parts = 1;     // of the keys, one a block of a cluster; at most 8, and one unless tile is 128
  CUtensorMap q, k, v;  // (dim, head, token, sample) in boxes of 64 dims and a tile of tokens
};
cudaError_t attention_wgmma(const AttentionWgmmaParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
