// Attention on Hopper's tensor cores (sm_90a).
#pragma once

#include <cuda.h>

#include "backends/cuda/kernels/attention.h"

namespace zoetrope::cuda {

// Few queries: blocks of 128, and the blocks of a cluster may have parts of the keys.
// Many: blocks of 192, and two neighbours in a cluster share what they read of keys and values.
enum class AttentionWay { kFew64, kFew80, kFew128, kMany64, kMany128 };  // dims computed on

struct AttentionTile {
  int rows, keys;  // queries of a block, and keys at once
};
constexpr AttentionTile attention_tile(AttentionWay way) {
  switch (way) {
    case AttentionWay::kMany64: return {192, 128};
    case AttentionWay::kMany128: return {192, 80};
    default: return {128, 128};
  }
}

// f16 and bf16, one dim of at most 128 for keys and values, a multiple of 8; no mask; scale > 0.
struct AttentionWgmmaParams {
  AttentionParams p;
  AttentionWay way = AttentionWay::kFew128;
  int parts = 1;  // of the keys, one a block of a cluster, at most 8; for few queries
  int share = 1;  // blocks that share keys and values, 1 or 2; for many queries
  // (dim, head, token, sample) in boxes of 64 dims; of q a tile's rows, of k and v keys / share.
  CUtensorMap q, k, v;
};
cudaError_t attention_wgmma(const AttentionWgmmaParams& p, cudaStream_t stream);

// The same of queries that see few keys, not causal; `way`, `parts` and `share` are not used.
inline constexpr AttentionTile kFewKeysTile{192, 64};
cudaError_t attention_few_keys(const AttentionWgmmaParams& p, int multiprocessors,
                               cudaStream_t stream);

}  // namespace zoetrope::cuda
