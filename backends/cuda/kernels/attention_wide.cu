// Heads of up to 512 dims, as autoencoders have. The dims of keys, then those of values, come by
// parts of 64. Eight warps share 64 queries: two have 16 of them, each the scores of half the keys
// of a tile, which they exchange as weights, then half the columns of every part of the sums.
#include "backends/cuda/kernels/attention_mma.h"
#include "backends/cuda/kernels/attention_tiles.cuh"
#include "backends/cuda/kernels/tma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kRows = 64, kKeys = 64, kPart = 64, kThreads = 256;
constexpr int kPitch = kPart + 8, kPitchBytes = 2 * kPitch;
constexpr int kPartBytes = kKeys * kPitchBytes;
constexpr int kMostParts = kAttentionWideDims / kPart;
constexpr int kEights = kKeys / 2 / 8;  // of a warp's keys, or of its columns of a part

constexpr int q_pitch(int parts) { return parts * kPart + 8; }

template <typename T, bool kRescale>
__global__ void __launch_bounds__(kThreads)
    attention_wide_kernel(const __grid_constant__ AttentionParams p, int across, int stages) {
  extern __shared__ __align__(16) char memory[];
  const int k_parts = (p.dim + kPart - 1) / kPart, v_parts = (p.v_dim + kPart - 1) / kPart;
  const int pitch = q_pitch(k_parts);
  T* ring = reinterpret_cast<T*>(memory);
  T* weights = ring + stages * kKeys * kPitch;
  float* most = reinterpret_cast<float*>(weights + kRows * kPitch);  // [2, kRows]
  T* q = reinterpret_cast<T*>(most + 2 * kRows);

  const AttentionTask task(p, across, kRows);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int half = warp / 4, own_row = warp % 4 * 16, in_quad = lane % 4 * 2;
  const T* from_k = task.keys_of<T>(p);
  const T* from_v = task.values_of<T>(p);
  const Seen seen = task.seen(p, own_row + lane / 4);
  const float scale = kRescale ? 1.f : seen.scale;
  Running running;
  float o[kMostParts][kEights][4] = {};

  // The next part to ask for: of which tile, part and place in the ring.
  int next_tile = 0, next_part = 0, next_stage = 0;
  const auto ask = [&] {
    if (next_tile < task.end) {
      const bool is_k = next_part < k_parts;
      const int column = (is_k ? next_part : next_part - k_parts) * kPart;
      copy_tile<kThreads, kKeys, kPart>(ring + next_stage * kKeys * kPitch, kPitch,
                                        (is_k ? from_k : from_v) + column,
                                        is_k ? p.k.token_step : p.v.token_step, next_tile, p.keys,
                                        (is_k ? p.dim : p.v_dim) - column);
      if (++next_part == k_parts + v_parts) next_part = 0, next_tile += kKeys;
      if (++next_stage == stages) next_stage = 0;
    }
    copy_async_commit();
  };
  // Waits for the next part in turn and asks for one in the place of the last; returns where it is.
  uint32_t part = shared_address(ring) + (stages - 1) * kPartBytes;
  const uint32_t ring_end = shared_address(ring) + stages * kPartBytes;
  const auto next = [&] {
    if (stages == 2)
      copy_async_wait<0>();
    else
      copy_async_wait<2>();
    __syncthreads();
    ask();
    part += kPartBytes;
    if (part == ring_end) part = shared_address(ring);
    return part;
  };

  for (int c = 0; c < k_parts; ++c)
    copy_tile<kThreads, kRows, kPart>(q + c * kPart, pitch, task.queries_of<T>(p) + c * kPart,
                                      p.q.token_step, task.row, p.queries, p.dim - c * kPart);
  for (int i = 1; i < stages; ++i) ask();

  const int at_row = lane % 16, at_half = lane / 16 * 16;  // for ldmatrix
  const uint32_t q_at = shared_address(q) + (own_row + at_row) * pitch * 2 + at_half;
  const uint32_t weights_at = shared_address(weights) + (own_row + at_row) * kPitchBytes + at_half;
  for (int first = 0; first < task.end; first += kKeys) {
    float s[kEights][4] = {};
    for (int c = 0; c < k_parts; ++c) {
      const uint32_t k_at = next() + (half * kKeys / 2 + at_row) * kPitchBytes + at_half;
#pragma unroll
      for (int step = 0; step < kPart / 16; ++step) {
        uint32_t a[4], b[4];
        load_matrix_x4(a, q_at + c * kPart * 2 + step * 32);
#pragma unroll
        for (int j = 0; j < kEights / 2; ++j) {
          load_matrix_x4(b, k_at + j * 16 * kPitchBytes + step * 32);
          mma_16x8x16<T>(s[2 * j], a, b[0], b[2]);
          mma_16x8x16<T>(s[2 * j + 1], a, b[1], b[3]);
        }
      }
    }
    const auto score = [&](int j, int e) -> float& { return s[j][e]; };
    seen.apply<kEights, kRescale>(score, first + half * kKeys / 2, in_quad);
    float now[2], shrink[2];
    running.look<kEights>(score, now);
    if (lane % 4 == 0)
#pragma unroll
      for (int h = 0; h < 2; ++h) most[half * kRows + own_row + lane / 4 + 8 * h] = now[h];
    named_barrier(1 + warp % 4, 64);
#pragma unroll
    for (int h = 0; h < 2; ++h)
      now[h] = fmaxf(now[h], most[(1 - half) * kRows + own_row + lane / 4 + 8 * h]);
    running.weigh<kEights>(score, now, scale, shrink);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      T* row = weights + (own_row + lane / 4 + 8 * h) * kPitch + half * kKeys / 2 + in_quad;
#pragma unroll
      for (int j = 0; j < kEights; ++j)
        *reinterpret_cast<uint32_t*>(row + 8 * j) = pack_pair<T>(s[j][2 * h], s[j][2 * h + 1]);
    }
    named_barrier(1 + warp % 4, 64);
    uint32_t a[kKeys / 16][4];
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) load_matrix_x4(a[step], weights_at + step * 32);
#pragma unroll
    for (int c = 0; c < kMostParts; ++c) {
      if (c >= v_parts) continue;
      const uint32_t v_at = next() + at_row * kPitchBytes + half * kPart / 2 * 2 + at_half;
#pragma unroll
      for (int j = 0; j < kEights; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) o[c][j][e] *= shrink[e / 2];
#pragma unroll
      for (int step = 0; step < kKeys / 16; ++step)
#pragma unroll
        for (int j = 0; j < kEights / 2; ++j) {
          uint32_t b[4];
          load_matrix_x4_transposed(b, v_at + step * 16 * kPitchBytes + j * 32);
          mma_16x8x16<T>(o[c][2 * j], a[step], b[0], b[1]);
          mma_16x8x16<T>(o[c][2 * j + 1], a[step], b[2], b[3]);
        }
    }
  }
  copy_async_wait<0>();

  // A row's sum is that of both halves of its keys, always added in the same order.
  float factor[2];
  __syncthreads();
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float sum = quad_sum(running.sum[h]);
    if (lane % 4 == 0) most[half * kRows + own_row + lane / 4 + 8 * h] = sum;
  }
  __syncthreads();
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float* sums = most + own_row + lane / 4 + 8 * h;
    const float sum = sums[0] + sums[kRows];
    factor[h] = sum > 0 ? 1.f / sum : 0.f;
  }
#pragma unroll
  for (int c = 0; c < kMostParts; ++c)
#pragma unroll
    for (int j = 0; j < kEights; ++j)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int column = c * kPart + half * kPart / 2 + 8 * j + in_quad;
        const int row = seen.row + 8 * h;
        if (column < p.v_dim && row < p.queries)
          *reinterpret_cast<uint32_t*>(task.output_of<T>(p, row) + column) =
              pack_pair<T>(o[c][j][2 * h] * factor[h], o[c][j][2 * h + 1] * factor[h]);
      }
}

template <typename T>
cudaError_t launch(const AttentionParams& p, int stages, cudaStream_t stream) {
  const auto kernel =
      must_rescale(p) ? attention_wide_kernel<T, true> : attention_wide_kernel<T, false>;
  const int bytes = static_cast<int>(attention_wide_bytes(p.dim, stages));
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (allowed != cudaSuccess) return allowed;
  const int64_t across = (p.queries + kRows - 1) / kRows;
  kernel<<<static_cast<unsigned>(across * p.heads * p.batch), kThreads, static_cast<size_t>(bytes),
           stream>>>(p, static_cast<int>(across), stages);
  return cudaGetLastError();
}

}  // namespace

int64_t attention_wide_bytes(int dim, int stages) {
  const int parts = (dim + kPart - 1) / kPart;
  return stages * kPartBytes + kRows * kPitchBytes + 2 * kRows * static_cast<int>(sizeof(float)) +
         kRows * q_pitch(parts) * 2;
}

cudaError_t attention_wide(const AttentionParams& p, int stages, cudaStream_t stream) {
  if (p.batch * p.queries * p.heads == 0) return cudaSuccess;
  return p.dtype == DType::kF16 ? launch<__half>(p, stages, stream)
                                : launch<__nv_bfloat16>(p, stages, stream);
}

}  // namespace zoetrope::cuda
