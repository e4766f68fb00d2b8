// After FlashAttention-2 (arXiv 2307.08691): a warp has 16 or 32 queries, whose sums stay in its
// registers; keys and values of 64 tokens lie in shared memory once, each copied while the warps
// work on the other.
#include "backends/cuda/kernels/attention.cuh"
#include "backends/cuda/kernels/attention_mma.h"
#include "backends/cuda/kernels/attention_tiles.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps, kKeys = kAttentionMmaKeys;

template <typename T, int kDim, int kRowTiles>
struct Shared {
  static constexpr int kRows = kWarps * kRowTiles * 16;
  static constexpr int kPitch = kDim + 8;  // conflict-free: an odd number of 16 bytes
  T q[kRows * kPitch], k[kKeys * kPitch], v[kKeys * kPitch];
};

// kDim: the dims that are computed on, at least those of keys and values. A warp has kRowTiles
// times 16 queries.
template <typename T, int kDim, int kRowTiles, bool kRescale>
__global__ void __launch_bounds__(kThreads)
    attention_mma_kernel(const __grid_constant__ AttentionParams p, int across) {
  using Memory = Shared<T, kDim, kRowTiles>;
  constexpr int kRows = Memory::kRows, kPitch = Memory::kPitch, kPitchBytes = 2 * kPitch;
  constexpr int kEights = kKeys / 8;
  extern __shared__ __align__(16) char memory[];
  auto& shared = *reinterpret_cast<Memory*>(memory);
  const AttentionTask task(p, across, kRows);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int own_row = warp * kRowTiles * 16;
  const T* from_k = task.keys_of<T>(p);
  const T* from_v = task.values_of<T>(p);

  float o[kRowTiles][kDim / 8][4] = {};
  Running running[kRowTiles];
  Seen seen[kRowTiles];
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) seen[m] = task.seen(p, own_row + m * 16 + lane / 4);
  const float scale = kRescale ? 1.f : seen[0].scale;

  copy_tile<kThreads, kRows, kDim>(shared.q, kPitch, task.queries_of<T>(p), p.q.token_step,
                                   task.row, p.queries, p.dim);
  copy_tile<kThreads, kKeys, kDim>(shared.k, kPitch, from_k, p.k.token_step, 0, p.keys, p.dim);
  copy_async_commit();
  // Where the lane's rows of matrices begin, for ldmatrix.
  const int at = lane % 16 * kPitchBytes + lane / 16 * 16;
  const uint32_t q_at = shared_address(shared.q) + own_row * kPitchBytes + at;
  const uint32_t k_at = shared_address(shared.k) + at, v_at = shared_address(shared.v) + at;

  for (int first = 0; first < task.end; first += kKeys) {
    copy_async_wait<0>();
    __syncthreads();  // the keys have come, and all are done with the last values
    copy_tile<kThreads, kKeys, kDim>(shared.v, kPitch, from_v, p.v.token_step, first, p.keys,
                                     p.v_dim);
    copy_async_commit();
    float s[kRowTiles][kEights][4] = {};
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
      uint32_t a[kRowTiles][4], b[4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m)
        load_matrix_x4(a[m], q_at + m * 16 * kPitchBytes + step * 32);
#pragma unroll
      for (int j = 0; j < kEights / 2; ++j) {
        load_matrix_x4(b, k_at + j * 16 * kPitchBytes + step * 32);
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          mma_16x8x16<T>(s[m][2 * j], a[m], b[0], b[2]);
          mma_16x8x16<T>(s[m][2 * j + 1], a[m], b[1], b[3]);
        }
      }
    }
    copy_async_wait<0>();
    __syncthreads();  // the values have come, and all are done with the keys
    if (first + kKeys < task.end)
      copy_tile<kThreads, kKeys, kDim>(shared.k, kPitch, from_k, p.k.token_step, first + kKeys,
                                       p.keys, p.dim);
    copy_async_commit();
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      const auto score = [&](int j, int e) -> float& { return s[m][j][e]; };
      seen[m].template apply<kEights, kRescale>(score, first, lane % 4 * 2);
      float shrink[2];
      running[m].template take<kEights>(score, scale, shrink);
#pragma unroll
      for (int j = 0; j < kDim / 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) o[m][j][e] *= shrink[e / 2];
    }
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
      uint32_t a[kRowTiles][4], b[4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) weights_of<T>(s[m][2 * step], s[m][2 * step + 1], a[m]);
#pragma unroll
      for (int j = 0; j < kDim / 16; ++j) {
        load_matrix_x4_transposed(b, v_at + step * 16 * kPitchBytes + j * 32);
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          mma_16x8x16<T>(o[m][2 * j], a[m], b[0], b[1]);
          mma_16x8x16<T>(o[m][2 * j + 1], a[m], b[2], b[3]);
        }
      }
    }
  }
  copy_async_wait<0>();
  __syncthreads();

  // Through the warp's own part of q's place, to be stored 16 bytes at once.
  T* own = shared.q + own_row * kPitch;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float sum = quad_sum(running[m].sum[h]), factor = sum > 0 ? 1.f / sum : 0.f;
      T* row = own + (m * 16 + h * 8 + lane / 4) * kPitch + lane % 4 * 2;
#pragma unroll
      for (int j = 0; j < kDim / 8; ++j)
        *reinterpret_cast<uint32_t*>(row + 8 * j) =
            pack_pair<T>(o[m][j][2 * h] * factor, o[m][j][2 * h + 1] * factor);
    }
  __syncwarp();
  const int chunks = p.v_dim / 8;
  for (int i = lane; i < kRowTiles * 16 * chunks; i += 32) {
    const int r = i / chunks, c = i - r * chunks;
    const int64_t row = task.row + own_row + r;
    if (row < p.queries)
      *reinterpret_cast<uint4*>(task.output_of<T>(p, row) + c * 8) =
          *reinterpret_cast<const uint4*>(own + r * kPitch + c * 8);
  }
}

template <typename T, int kDim, int kRowTiles, bool kRescale>
cudaError_t launch(const AttentionParams& p, cudaStream_t stream) {
  using Memory = Shared<T, kDim, kRowTiles>;
  const auto kernel = attention_mma_kernel<T, kDim, kRowTiles, kRescale>;
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(Memory));
  if (allowed != cudaSuccess) return allowed;
  const int64_t across = (p.queries + Memory::kRows - 1) / Memory::kRows;
  kernel<<<static_cast<unsigned>(across * p.heads * p.batch), kThreads, sizeof(Memory), stream>>>(
      p, static_cast<int>(across));
  return cudaGetLastError();
}

template <typename T, int kRowTiles, bool kRescale>
cudaError_t launch_dim(const AttentionParams& p, cudaStream_t stream) {
  const int dim = p.dim > p.v_dim ? p.dim : p.v_dim;
  if (dim <= 64) return launch<T, 64, kRowTiles, kRescale>(p, stream);
  if (dim <= 80) return launch<T, 80, kRowTiles, kRescale>(p, stream);
  return launch<T, 128, kRowTiles, kRescale>(p, stream);
}

template <typename T>
cudaError_t launch_rows(const AttentionParams& p, int rows, cudaStream_t stream) {
  if (must_rescale(p)) return launch_dim<T, 1, true>(p, stream);
  return rows == 64 ? launch_dim<T, 1, false>(p, stream) : launch_dim<T, 2, false>(p, stream);
}

}  // namespace

cudaError_t attention_mma(const AttentionParams& p, int rows, cudaStream_t stream) {
  if (p.batch * p.queries * p.heads == 0) return cudaSuccess;
  return p.dtype == DType::kF16 ? launch_rows<__half>(p, rows, stream)
                                : launch_rows<__nv_bfloat16>(p, rows, stream);
}

}  // namespace zoetrope::cuda
