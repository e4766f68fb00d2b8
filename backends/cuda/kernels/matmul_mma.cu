// Matrix products of f16 and bf16 on the tensor cores of sm_80 and later: a block makes a tile of
// c, its warps parts of it; kStages parts of a and b are on their way into shared memory at a time.
// 16-byte chunks are swizzled so that the 8 rows of an ldmatrix lie in different banks.
#include "backends/cuda/kernels/matmul.cuh"
#include "backends/cuda/kernels/mma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kChunk = 8;  // elements, 16 bytes

// Element `at` of a row of `count` and the seven after it, as zeros past the end.
template <typename T>
__device__ uint4 load_ragged(const T* from, int64_t count) {
  T e[kChunk];
#pragma unroll
  for (int i = 0; i < kChunk; ++i) e[i] = i < count ? from[i] : from_float<T>(0.f);
  return *reinterpret_cast<const uint4*>(e);
}

// Rows of kWidth elements in shared memory, rows of `pitch` in global memory.
template <typename T, int kRows, int kWidth, int kThreads, bool kAligned>
struct Loader {
  static constexpr int kChunks = kWidth / kChunk;

  // Byte offset of a chunk in shared memory.
  static __device__ uint32_t place(int row, int chunk) {
    constexpr int kPerLine = 128 / (kChunks * 16) > 0 ? 128 / (kChunks * 16) : 1;
    constexpr int kMask = kChunks < 8 ? kChunks - 1 : 7;
    return static_cast<uint32_t>(row * kChunks + (chunk ^ (row / kPerLine & kMask))) * 16;
  }

  // rows_left and columns_left: from `from` to the end of the matrix.
  static __device__ void load(char* shared, const T* from, int64_t pitch, int64_t rows_left,
                              int64_t columns_left) {
#pragma unroll
    for (int i = threadIdx.x; i < kRows * kChunks; i += kThreads) {
      const int row = i / kChunks, chunk = i % kChunks;
      const int64_t left = row < rows_left ? columns_left - chunk * kChunk : 0;
      const T* source = from + row * pitch + chunk * kChunk;
      char* to = shared + place(row, chunk);
      if constexpr (kAligned)
        copy_async_16(shared_address(to), left > 0 ? source : from, left > 0 ? 16 : 0);
      else
        *reinterpret_cast<uint4*>(to) = load_ragged(source, left);
    }
  }
};

template <int kM, int kN, int kWarpsM, int kWarpsN, int kDeep, int kParts>
struct Tile {
  static constexpr int kTileM = kM, kTileN = kN, kDepth = kDeep, kStages = kParts;
  static constexpr int kThreads = kWarpsM * kWarpsN * 32;
  static constexpr int kBlocks = kM * kN > 128 * 128 ? 1 : 2;  // of a multiprocessor at a time
  static constexpr int kWarpM = kM / kWarpsM, kWarpN = kN / kWarpsN;  // a warp's part
  static constexpr int kStageBytes = (kM + kN) * kDepth * 2;
  static constexpr int kPitchC = kN + kChunk;
  static constexpr int kStageAll = kStageBytes * kStages, kOut = kM * kPitchC * 2;
  static constexpr int kSharedBytes = kStageAll > kOut ? kStageAll : kOut;
};

template <typename T, typename S, bool kTransposed, bool kAligned>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks)
    matmul_mma_kernel(const __grid_constant__ MatmulParams p, int tiles_m, int tiles_n) {
  constexpr int kDepth = S::kDepth, kStages = S::kStages;
  constexpr int kM = S::kTileM, kN = S::kTileN, kBlocksM = S::kWarpM / 16, kPairsN = S::kWarpN / 16;
  using LoaderA = Loader<T, kM, kDepth, S::kThreads, kAligned>;
  using LoaderB =
      Loader<T, kTransposed ? kN : kDepth, kTransposed ? kDepth : kN, S::kThreads, kAligned>;
  extern __shared__ __align__(128) char shared[];

  const TileAt at = tile_at(blockIdx.x, tiles_m, tiles_n);
  const ProductOffsets offsets = product_offsets(p, at.product);
  const int64_t row0 = static_cast<int64_t>(at.row) * kM,
                column0 = static_cast<int64_t>(at.column) * kN;
  const T* a = static_cast<const T*>(p.a) + offsets.a + row0 * p.k;
  const T* b = static_cast<const T*>(p.b) + offsets.b + column0 * (kTransposed ? p.k : 1);
  const auto load = [&](int64_t depth, int stage) {
    char* to = shared + stage * S::kStageBytes;
    if (depth < p.k) {
      LoaderA::load(to, a + depth, p.k, p.m - row0, p.k - depth);
      if constexpr (kTransposed)
        LoaderB::load(to + kM * kDepth * 2, b + depth, p.k, p.n - column0, p.k - depth);
      else
        LoaderB::load(to + kM * kDepth * 2, b + depth * p.n, p.n, p.k - depth, p.n - column0);
    }
    copy_async_commit();
  };

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_m = warp % (kM / S::kWarpM) * S::kWarpM;
  const int warp_n = warp / (kM / S::kWarpM) * S::kWarpN;
  float sum[kBlocksM][kPairsN * 2][4] = {};

#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) load(s * kDepth, s);
  int stage = 0;
  for (int64_t depth = 0; depth < p.k; depth += kDepth) {
    copy_async_wait<kStages - 2>();
    __syncthreads();  // this stage has come, and the one before it is free
    const uint32_t from_a = shared_address(shared + stage * S::kStageBytes);
    const uint32_t from_b = from_a + kM * kDepth * 2;
    // Fragments of the next step are read while the present ones are multiplied.
    uint32_t av[2][kBlocksM][4], bv[2][kPairsN][4];
    const auto fetch = [&](int step, int to) {
#pragma unroll
      for (int i = 0; i < kBlocksM; ++i)
        load_matrix_x4(av[to][i], from_a + LoaderA::place(warp_m + i * 16 + lane % 16,
                                                          step / kChunk + lane / 16));
#pragma unroll
      for (int j = 0; j < kPairsN; ++j) {
        if constexpr (kTransposed) {
          load_matrix_x4(bv[to][j],
                         from_b + LoaderB::place(warp_n + j * 16 + lane / 16 * 8 + lane % 8,
                                                 step / kChunk + lane / 8 % 2));
        } else {  // rows of the depth; matrices in the same order as above
          load_matrix_x4_transposed(
              bv[to][j],
              from_b + LoaderB::place(step + lane % 16, (warp_n + j * 16) / kChunk + lane / 16));
        }
      }
    };
    fetch(0, 0);
    load(depth + (kStages - 1) * kDepth, (stage + kStages - 1) % kStages);
#pragma unroll
    for (int step = 0; step < kDepth; step += 16) {
      const int now = step / 16 % 2;
      if (step + 16 < kDepth) fetch(step + 16, now ^ 1);
#pragma unroll
      for (int i = 0; i < kBlocksM; ++i)
#pragma unroll
        for (int j = 0; j < kPairsN; ++j) {
          mma_16x8x16<T>(sum[i][j * 2], av[now][i], bv[now][j][0], bv[now][j][1]);
          mma_16x8x16<T>(sum[i][j * 2 + 1], av[now][i], bv[now][j][2], bv[now][j][3]);
        }
    }
    stage = (stage + 1) % kStages;
  }

  // c through shared memory, so that rows are written in whole chunks.
  copy_async_wait<0>();
  __syncthreads();
  T* tile = reinterpret_cast<T*>(shared);
#pragma unroll
  for (int j = 0; j < kPairsN * 2; ++j) {
    const int column = warp_n + j * 8 + lane % 4 * 2;
    const float bias0 = column0 + column < p.n ? load_bias(p, column0 + column) : 0;
    const float bias1 = column0 + column + 1 < p.n ? load_bias(p, column0 + column + 1) : 0;
#pragma unroll
    for (int i = 0; i < kBlocksM; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        *reinterpret_cast<uint32_t*>(
            &tile[(warp_m + i * 16 + half * 8 + lane / 4) * S::kPitchC + column]) =
            pack_pair<T>(activate(p.activation, sum[i][j][half * 2] + bias0),
                         activate(p.activation, sum[i][j][half * 2 + 1] + bias1));
  }
  __syncthreads();
  T* c = static_cast<T*>(p.c) + at.product * p.m * p.n + row0 * p.n + column0;
  const bool chunks = p.n % kChunk == 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < kM * (kN / kChunk); i += S::kThreads) {
    const int row = i / (kN / kChunk), column = i % (kN / kChunk) * kChunk;
    const int64_t left = p.n - column0 - column;
    if (row0 + row >= p.m || left <= 0) continue;
    const T* from = &tile[row * S::kPitchC + column];
    if (chunks) {
      *reinterpret_cast<uint4*>(c + row * p.n + column) = *reinterpret_cast<const uint4*>(from);
    } else {
      for (int e = 0; e < kChunk && e < left; ++e) c[row * p.n + column + e] = from[e];
    }
  }
}

template <typename T, typename S, bool kTransposed, bool kAligned>
cudaError_t launch(const MatmulParams& p, cudaStream_t stream) {
  const int64_t tiles_m = (p.m + S::kTileM - 1) / S::kTileM,
                tiles_n = (p.n + S::kTileN - 1) / S::kTileN;
  const int64_t blocks = tiles_m * tiles_n * p.products();
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  const auto kernel = matmul_mma_kernel<T, S, kTransposed, kAligned>;
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSharedBytes);
  if (allowed != cudaSuccess) return allowed;
  kernel<<<static_cast<unsigned>(blocks), S::kThreads, S::kSharedBytes, stream>>>(
      p, static_cast<int>(tiles_m), static_cast<int>(tiles_n));
  return cudaGetLastError();
}

template <typename T, bool kTransposed>
cudaError_t choose(const MatmulParams& p, cudaStream_t stream) {
  using Large = Tile<128, 128, 2, 4, 64, 3>;
  using Small = Tile<64, 64, 2, 2, 32, 4>;
  if (p.k % kChunk != 0 || (!kTransposed && p.n % kChunk != 0))
    return launch<T, Small, kTransposed, false>(p, stream);
  const bool large = p.m * p.n * p.products() >= int64_t{128} * 128 * 128 && p.m > 64 && p.n > 64;
  return large ? launch<T, Large, kTransposed, true>(p, stream)
               : launch<T, Small, kTransposed, true>(p, stream);
}

template <typename T>
cudaError_t choose_way(const MatmulParams& p, cudaStream_t stream) {
  return p.transpose_b ? choose<T, true>(p, stream) : choose<T, false>(p, stream);
}

}  // namespace

cudaError_t matmul_mma(const MatmulParams& p, cudaStream_t stream) {
  return p.dtype == DType::kF16 ? choose_way<__half>(p, stream)
                                : choose_way<__nv_bfloat16>(p, stream);
}

}  // namespace zoetrope::cuda
