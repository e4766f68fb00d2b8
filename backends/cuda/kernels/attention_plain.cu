#include "backends/cuda/kernels/attention.h"

#include "backends/cuda/kernels/chunk.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kWarpRows = 4, kRows = kWarps * kWarpRows;  // queries of a warp and of a block
constexpr int kKeys = 32;                                 // at once: one a lane
constexpr int kDepth = 64, kPitch = kDepth + 4;  // dims at once; rows apart in shared memory

// A block has kRows queries of a head, a lane kColumns / 32 columns of the values. Scores of a tile
// are summed over parts of the dims, then each lane has the score of one key.
template <typename T, int kColumns>
__global__ void __launch_bounds__(kThreads) attention_kernel(const AttentionParams p, int across) {
  __shared__ __align__(16) float q[kRows][kPitch], k[kKeys][kPitch];
  __shared__ __align__(16) float weights[kWarps][kKeys][kWarpRows];
  constexpr int kOwn = kColumns / 32;
  const int rest = static_cast<int>(blockIdx.x) / across;
  const int64_t first = static_cast<int64_t>(blockIdx.x - rest * across) * kRows;
  const int head = rest % p.heads, kv_head = head / (p.heads / p.kv_heads);
  const int64_t sample = rest / p.heads;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int column = static_cast<int>(blockIdx.y) * kColumns + lane;
  const T* from_q = static_cast<const T*>(p.q.data) + sample * p.q.batch_step + head * p.dim;
  const T* from_k = static_cast<const T*>(p.k.data) + sample * p.k.batch_step + kv_head * p.dim;
  const T* from_v = static_cast<const T*>(p.v.data) + sample * p.v.batch_step + kv_head * p.v_dim;
  const Side mask{p.mask.data, p.mask.dtype};

  int64_t keys = p.keys;
  if (p.lengths != nullptr)
    keys = max(int64_t{0}, min(keys, static_cast<int64_t>(p.lengths[sample])));
  const int64_t diagonal = p.keys - p.queries;  // query i sees keys up to i + diagonal
  const int64_t end = p.causal ? max(int64_t{0}, min(keys, first + kRows + diagonal)) : keys;

  float most[kWarpRows], sum[kWarpRows], o[kWarpRows][kOwn];
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    most[r] = -INFINITY, sum[r] = 0;
#pragma unroll
    for (int c = 0; c < kOwn; ++c) o[r][c] = 0;
  }
  for (int64_t tile = 0; tile < end; tile += kKeys) {
    float s[kWarpRows] = {};
    for (int depth = 0; depth < p.dim; depth += kDepth) {
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < (kRows + kKeys) * kDepth; i += kThreads) {
        const int row = i / kDepth, d = depth + i % kDepth;
        const bool is_q = row < kRows;
        const int64_t token = is_q ? first + row : tile + row - kRows;
        float x = 0;
        if (d < p.dim && token < (is_q ? p.queries : keys))
          x = to_float(is_q ? from_q[token * p.q.token_step + d]
                            : from_k[token * p.k.token_step + d]);
        (is_q ? q[row] : k[row - kRows])[i % kDepth] = x;
      }
      __syncthreads();
#pragma unroll 4
      for (int d = 0; d < kDepth; d += 4) {
        const float4 b = *reinterpret_cast<const float4*>(&k[lane][d]);
#pragma unroll
        for (int r = 0; r < kWarpRows; ++r) {
          const float4 a = *reinterpret_cast<const float4*>(&q[warp * kWarpRows + r][d]);
          s[r] += a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
        }
      }
    }
    const int64_t key = tile + lane;
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      const int64_t row = first + warp * kWarpRows + r;
      float x = s[r] * p.scale;
      if (mask && row < p.queries && key < keys)
        x += mask.one(sample * p.mask_steps[0] + head * p.mask_steps[1] + row * p.mask_steps[2] +
                      key * p.mask_steps[3]);
      if (key >= keys || (p.causal && key > row + diagonal)) x = -INFINITY;
      float now = fmaxf(most[r], x);
#pragma unroll
      for (int step = 16; step > 0; step /= 2) now = fmaxf(now, __shfl_xor_sync(~0u, now, step));
      const float around = now == -INFINITY ? 0 : now;
      const float shrink = expf(most[r] - around), weight = expf(x - around);
      most[r] = now;
      sum[r] = sum[r] * shrink + weight;
#pragma unroll
      for (int c = 0; c < kOwn; ++c) o[r][c] *= shrink;
      weights[warp][lane][r] = weight;
    }
    __syncwarp();
    const int here = static_cast<int>(min(static_cast<int64_t>(kKeys), keys - tile));
    for (int j = 0; j < here; ++j) {
      const float4 w = *reinterpret_cast<const float4*>(weights[warp][j]);
      const float factor[kWarpRows] = {w.x, w.y, w.z, w.w};
#pragma unroll
      for (int c = 0; c < kOwn; ++c) {
        if (column + 32 * c >= p.v_dim) continue;
        const float v = to_float(from_v[(tile + j) * p.v.token_step + column + 32 * c]);
#pragma unroll
        for (int r = 0; r < kWarpRows; ++r) o[r][c] += factor[r] * v;
      }
    }
    __syncwarp();
  }
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum[r] += __shfl_xor_sync(~0u, sum[r], step);
    const int64_t row = first + warp * kWarpRows + r;
    if (row >= p.queries) continue;
    const float factor = sum[r] > 0 ? 1.f / sum[r] : 0.f;
    T* out = static_cast<T*>(p.out) + ((sample * p.queries + row) * p.heads + head) * p.v_dim;
#pragma unroll
    for (int c = 0; c < kOwn; ++c)
      if (column + 32 * c < p.v_dim) out[column + 32 * c] = from_float<T>(o[r][c] * factor);
  }
}

template <typename T, int kColumns>
void launch(const AttentionParams& p, cudaStream_t stream) {
  const int64_t across = (p.queries + kRows - 1) / kRows;
  const dim3 grid(static_cast<unsigned>(across * p.heads * p.batch),
                  static_cast<unsigned>((p.v_dim + kColumns - 1) / kColumns));
  attention_kernel<T, kColumns><<<grid, kThreads, 0, stream>>>(p, static_cast<int>(across));
}

}  // namespace

cudaError_t attention_plain(const AttentionParams& p, cudaStream_t stream) {
  if (p.batch * p.queries * p.heads * p.v_dim == 0) return cudaSuccess;
  with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    if (p.v_dim <= 32)
      launch<T, 32>(p, stream);
    else if (p.v_dim <= 64)
      launch<T, 64>(p, stream);
    else if (p.v_dim <= 128)
      launch<T, 128>(p, stream);
    else
      launch<T, 256>(p, stream);
  });
  return cudaGetLastError();
}

}  // namespace zoetrope::cuda
