// What attention on tensor cores shares: the softmax over tiles of keys, whose scores lie in
// registers as mma and wgmma leave them. A thread has two rows (h = 0, 1) and, for every eight
// keys, two neighbours of each: score(j, 2·h + i) is key 8·j + 2·(thread % 4) + i.
#pragma once

#include "backends/cuda/kernels/chunk.cuh"

namespace zoetrope::cuda {

// Of the four threads that share rows.
__device__ inline float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ inline float quad_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// The running maximum and sum of a thread's two rows; the sum is of its own columns.
struct Running {
  float most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};

  // The maximum so far with that of a tile of 8·kEights keys.
  template <int kEights, typename Score>
  __device__ void look(const Score& score, float (&now)[2]) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      now[h] = most[h];
#pragma unroll
      for (int j = 0; j < kEights; ++j)
        now[h] = fmaxf(now[h], fmaxf(score(j, 2 * h), score(j, 2 * h + 1)));
      now[h] = quad_max(now[h]);
    }
  }
  // Scores of row h (0 or 1) become exp2(scale · score − around); their sum.
  template <int kEights, typename Score>
  static __device__ float powers(const Score& score, int h, float scale, float around) {
    float total = 0;
#pragma unroll
    for (int j = 0; j < kEights; ++j)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& x = score(j, 2 * h + i);
        x = exp2_of(fmaf(x, scale, -around));
        total += x;
      }
    return total;
  }
  // Scores become weights, exp2(scale · (score − now)) with a scale over 0; `shrink` is by what
  // earlier sums shrink.
  template <int kEights, typename Score>
  __device__ void weigh(const Score& score, const float (&now)[2], float scale,
                        float (&shrink)[2]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float around = now[h] == -INFINITY ? 0 : now[h] * scale;
      shrink[h] = exp2_of(most[h] * scale - around);
      most[h] = now[h];
      sum[h] = sum[h] * shrink[h] + powers<kEights>(score, h, scale, around);
    }
  }
  template <int kEights, typename Score>
  __device__ void take(const Score& score, float scale, float (&shrink)[2]) {
    float now[2];
    look<kEights>(score, now);
    weigh<kEights>(score, now, scale, shrink);
  }
  // Scores become weights around the maximum so far, and `total` their sums, without a look at the
  // tile's own maximum: sums of any size are right in the end. Not where this returns false: the
  // thread's weights are too large, or there is no maximum yet.
  template <int kEights, typename Score>
  __device__ bool guess(const Score& score, float scale, float (&total)[2]) const {
    constexpr float kMost = 4096;  // f16 has weights up to 65504
#pragma unroll
    for (int h = 0; h < 2; ++h) total[h] = powers<kEights>(score, h, scale, most[h] * scale);
    return total[0] + total[1] <= kMost;
  }
};

// Which keys a thread's rows see, and what is added to their scores.
struct Seen {
  int row = 0;          // the thread's first, the other is 8 further
  int end = 0;          // keys at and beyond are hidden
  bool causal = false;  // row r sees keys up to r + diagonal
  int diagonal = 0;
  float scale = 1;  // times log2 e
  Side mask{nullptr, DType::kF32};
  int64_t mask_row[2] = {}, mask_step = 0;

  // Of scores of the 8·kEights keys from `first`, of which the thread's begin at first + own.
  // kRescale: scores are scaled here and masked; else the softmax scales them.
  template <int kEights, bool kRescale, typename Score>
  __device__ void apply(const Score& score, int first, int own) const {
    if constexpr (kRescale) {
#pragma unroll
      for (int j = 0; j < kEights; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int key = first + own + 8 * j + e % 2;
          float x = score(j, e) * scale;
          if (mask && key < end) x += mask.one(mask_row[e / 2] + key * mask_step) * kLog2E;
          score(j, e) = x;
        }
    }
    const int last = first + 8 * kEights;
    if (last <= end && (!causal || last <= (row & ~15) + diagonal + 1)) return;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int left = (causal ? min(end, row + 8 * h + diagonal + 1) : end) - first - own;
#pragma unroll
      for (int j = 0; j < kEights; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          if (8 * j + i >= left) score(j, 2 * h + i) = -INFINITY;
    }
  }
};

}  // namespace zoetrope::cuda
