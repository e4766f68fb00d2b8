// What a block of attention through mma works on, and how tiles come to it.
#pragma once

#include "backends/cuda/kernels/attention.cuh"
#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/mma.cuh"

namespace zoetrope::cuda {

// Scores must be scaled before the softmax, which takes scales over 0 alone.
inline bool must_rescale(const AttentionParams& p) {
  return p.mask.data != nullptr || p.scale <= 0;
}

struct AttentionTask {
  int head, kv_head, row;  // its first query
  int keys, end;           // keys that the sample has; that any query of the block sees
  int64_t sample;

  // Blocks go through a head's tiles of queries, `across` of them; the longest first.
  __device__ AttentionTask(const AttentionParams& p, int across, int rows) {
    const int rest = static_cast<int>(blockIdx.x) / across;
    const int tile = static_cast<int>(blockIdx.x) - rest * across;
    row = (p.causal ? across - 1 - tile : tile) * rows;
    sample = rest / p.heads;
    head = rest - static_cast<int>(sample) * p.heads;
    kv_head = head / (p.heads / p.kv_heads);
    keys = static_cast<int>(p.keys);
    if (p.lengths != nullptr) keys = max(0, min(keys, p.lengths[sample]));
    end = keys;
    if (p.causal) end = max(0, min(keys, row + rows + static_cast<int>(p.keys - p.queries)));
  }

  template <typename T>
  __device__ const T* queries_of(const AttentionParams& p) const {
    return static_cast<const T*>(p.q.data) + sample * p.q.batch_step + head * p.dim;
  }
  template <typename T>
  __device__ const T* keys_of(const AttentionParams& p) const {
    return static_cast<const T*>(p.k.data) + sample * p.k.batch_step + kv_head * p.dim;
  }
  template <typename T>
  __device__ const T* values_of(const AttentionParams& p) const {
    return static_cast<const T*>(p.v.data) + sample * p.v.batch_step + kv_head * p.v_dim;
  }
  template <typename T>
  __device__ T* output_of(const AttentionParams& p, int64_t query) const {
    return static_cast<T*>(p.out) + ((sample * p.queries + query) * p.heads + head) * p.v_dim;
  }

  // `own`: a thread's first row among the block's.
  __device__ Seen seen(const AttentionParams& p, int own) const {
    Seen s;
    s.row = row + own;
    s.end = keys;
    s.causal = p.causal;
    s.diagonal = static_cast<int>(p.keys - p.queries);
    s.scale = p.scale * kLog2E;
    s.mask = Side{p.mask.data, p.mask.dtype};
#pragma unroll
    for (int h = 0; h < 2; ++h)  // rows past the last read the last one's
      s.mask_row[h] = sample * p.mask_steps[0] + head * p.mask_steps[1] +
                      min(static_cast<int64_t>(s.row + 8 * h), p.queries - 1) * p.mask_steps[2];
    s.mask_step = p.mask_steps[3];
    return s;
  }
};

// kRows tokens from `first`, kDim dims of each, to rows `pitch` apart; zeros past `tokens` and
// `dim`.
template <int kThreads, int kRows, int kDim, typename T>
__device__ inline void copy_tile(T* to, int pitch, const T* from, int64_t token_step, int first,
                                 int64_t tokens, int dim) {
  constexpr int kChunks = kDim / 8;
  static_assert(kRows * kChunks % kThreads == 0);
#pragma unroll
  for (int k = 0; k < kRows * kChunks / kThreads; ++k) {
    const int i = static_cast<int>(threadIdx.x) + k * kThreads;
    const int row = i / kChunks, column = i % kChunks * 8;
    const bool there = first + row < tokens && column < dim;
    copy_async_16(shared_address(to + row * pitch + column),
                  from + (there ? (first + row) * token_step + column : 0), there ? 16 : 0);
  }
}

// Weights of 16 keys, as products left their scores, become mma's first operand.
template <typename T>
__device__ inline void weights_of(const float (&low)[4], const float (&high)[4], uint32_t (&a)[4]) {
  a[0] = pack_pair<T>(low[0], low[1]);
  a[1] = pack_pair<T>(low[2], low[3]);
  a[2] = pack_pair<T>(high[0], high[1]);
  a[3] = pack_pair<T>(high[2], high[3]);
}

}  // namespace zoetrope::cuda
