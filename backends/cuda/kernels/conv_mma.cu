// Convolutions of f16 and bf16 on the tensor cores of sm_80 and later: a block makes a tile of y,
// its warps parts of it; kStages parts of x and weight are on their way into shared memory at a
// time.
#include "backends/cuda/kernels/conv_gather.cuh"
#include "backends/cuda/kernels/matmul.cuh"
#include "backends/cuda/kernels/mma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kDepth = 32, kStages = 4, kWide = 8;  // kWide elements are 16 bytes
constexpr int kChunks = kDepth / kWide;             // of a row

// Byte offset of a chunk in shared memory, so that the 8 rows of an ldmatrix lie in different
// banks.
__device__ uint32_t place(int row, int chunk) {
  return static_cast<uint32_t>(row * kChunks + (chunk ^ (row / 2 & 3))) * 16;
}

template <int kM, int kN, int kWarpsM, int kWarpsN>
struct Tile {
  static constexpr int kTileM = kM, kTileN = kN;
  static constexpr int kThreads = kWarpsM * kWarpsN * 32;
  static constexpr int kWarpM = kM / kWarpsM, kWarpN = kN / kWarpsN;  // a warp's part
  static constexpr int kPitch = kN + kWide;                           // of y in shared memory
  static constexpr int kStageBytes = (kM + kN) * kDepth * 2;
  static constexpr int kStageAll = kStageBytes * kStages, kOut = kM * kPitch * 2;
  static constexpr int kSharedBytes = kStageAll > kOut ? kStageAll : kOut;
  static constexpr int kApart = kThreads / kChunks;  // rows that one thread loads chunks of
  static constexpr int kRowsA = kM / kApart, kRowsB = (kN + kApart - 1) / kApart;
};

// kAligned: chunks lie within a tap.
template <typename T, typename S, bool kAligned>
__global__ void __launch_bounds__(S::kThreads, 2)
    conv_mma_kernel(const __grid_constant__ ConvGather g, int tiles_m, int tiles_n) {
  constexpr int kM = S::kTileM, kN = S::kTileN, kBlocksM = S::kWarpM / 16, kPairsN = S::kWarpN / 16;
  extern __shared__ __align__(128) char shared[];

  const TileAt at = tile_at(blockIdx.x, tiles_m, tiles_n);
  const ConvProduct product = ConvProduct::of(g, at.product);
  const ConvParams& p = g.p;
  const int row0 = at.row * kM, column0 = at.column * kN;
  const auto filters = static_cast<int>(p.group_filters());
  if (row0 >= product.rows) return;

  const int chunk = threadIdx.x % kChunks, own_row = threadIdx.x / kChunks;
  const T* x = static_cast<const T*>(p.x);
  const int64_t filter_size = p.taps() * g.width;
  const T* weight = static_cast<const T*>(p.weight) +
                    (static_cast<int64_t>(product.group) * filters + column0) * filter_size;
  ConvRow rows[S::kRowsA];
#pragma unroll
  for (int i = 0; i < S::kRowsA; ++i) rows[i] = product.row(row0 + own_row + i * S::kApart);

  const auto load = [&](int depth, int stage) {
    char* to_a = shared + stage * S::kStageBytes;
    char* to_b = to_a + kM * kDepth * 2;
    if (depth < product.depth) {
      if constexpr (kAligned) {
        const ConvTap tap = product.tap(depth + chunk * kWide);
#pragma unroll
        for (int i = 0; i < S::kRowsA; ++i) {
          const int64_t source = product.source(rows[i], tap);
          copy_async_16(shared_address(to_a + place(own_row + i * S::kApart, chunk)),
                        source >= 0 ? x + source : x, source >= 0 ? 16 : 0);
        }
#pragma unroll
        for (int i = 0; i < S::kRowsB; ++i) {
          const int column = own_row + i * S::kApart;
          if (kN % S::kApart != 0 && column >= kN) continue;
          const bool inside = tap.inside && column0 + column < filters;
          copy_async_16(shared_address(to_b + place(column, chunk)),
                        inside ? weight + column * filter_size + tap.weight : x, inside ? 16 : 0);
        }
      } else {
        ConvTap taps[kWide];
#pragma unroll
        for (int e = 0; e < kWide; ++e) taps[e] = product.tap(depth + chunk * kWide + e);
        T v[kWide];
#pragma unroll 1
        for (int i = 0; i < S::kRowsA; ++i) {
          const ConvRow row = product.row(row0 + own_row + i * S::kApart);
#pragma unroll
          for (int e = 0; e < kWide; ++e) {
            const int64_t source = product.source(row, taps[e]);
            v[e] = source >= 0 ? x[source] : from_float<T>(0.f);
          }
          *reinterpret_cast<uint4*>(to_a + place(own_row + i * S::kApart, chunk)) =
              *reinterpret_cast<const uint4*>(v);
        }
#pragma unroll 1
        for (int i = 0; i < S::kRowsB; ++i) {
          const int column = own_row + i * S::kApart;
          if (kN % S::kApart != 0 && column >= kN) continue;
#pragma unroll
          for (int e = 0; e < kWide; ++e)
            v[e] = taps[e].inside && column0 + column < filters
                       ? weight[column * filter_size + taps[e].weight]
                       : from_float<T>(0.f);
          *reinterpret_cast<uint4*>(to_b + place(column, chunk)) =
              *reinterpret_cast<const uint4*>(v);
        }
      }
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
  for (int depth = 0; depth < product.depth; depth += kDepth) {
    copy_async_wait<kStages - 2>();
    __syncthreads();  // this stage has come, and the one before it is free
    const uint32_t from_a = shared_address(shared + stage * S::kStageBytes);
    const uint32_t from_b = from_a + kM * kDepth * 2;
    uint32_t av[2][kBlocksM][4], bv[2][kPairsN][4];
#pragma unroll
    for (int step = 0; step < 2; ++step) {
#pragma unroll
      for (int i = 0; i < kBlocksM; ++i)
        load_matrix_x4(av[step][i],
                       from_a + place(warp_m + i * 16 + lane % 16, step * 2 + lane / 16));
#pragma unroll
      for (int j = 0; j < kPairsN; ++j)
        load_matrix_x4(bv[step][j],
                       from_b + place(warp_n + j * 16 + lane % 16, step * 2 + lane / 16));
    }
    load(depth + (kStages - 1) * kDepth, (stage + kStages - 1) % kStages);
#pragma unroll
    for (int step = 0; step < 2; ++step)
#pragma unroll
      for (int i = 0; i < kBlocksM; ++i)
#pragma unroll
        for (int j = 0; j < kPairsN; ++j) {
          mma_16x8x16<T>(sum[i][j * 2], av[step][i], bv[step][j][0], bv[step][j][2]);
          mma_16x8x16<T>(sum[i][j * 2 + 1], av[step][i], bv[step][j][1], bv[step][j][3]);
        }
    stage = (stage + 1) % kStages;
  }

  // y through shared memory, so that rows are written in whole chunks.
  copy_async_wait<0>();
  __syncthreads();
  T* tile = reinterpret_cast<T*>(shared);
  const Side side{p.bias, p.bias_dtype};
  const int64_t filter0 = static_cast<int64_t>(product.group) * filters + column0;
  const auto bias = [&](int column) {
    return side && column0 + column < filters ? side.one(filter0 + column) : 0.f;
  };
#pragma unroll
  for (int j = 0; j < kPairsN * 2; ++j) {
    const int column = warp_n + j * 8 + lane % 4 * 2;
    const float bias0 = bias(column), bias1 = bias(column + 1);
#pragma unroll
    for (int i = 0; i < kBlocksM; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        *reinterpret_cast<uint32_t*>(
            &tile[(warp_m + i * 16 + half * 8 + lane / 4) * S::kPitch + column]) =
            pack_pair<T>(activate(p.activation, sum[i][j][half * 2] + bias0),
                         activate(p.activation, sum[i][j][half * 2 + 1] + bias1));
  }
  __syncthreads();
  T* y = static_cast<T*>(p.y) + filter0;
  const bool chunks = filters % kWide == 0;
#pragma unroll 2
  for (int i = threadIdx.x; i < kM * (kN / kWide); i += S::kThreads) {
    const int row = i / (kN / kWide), column = i % (kN / kWide) * kWide;
    const int left = filters - column0 - column;
    if (row0 + row >= product.rows || left <= 0) continue;
    const T* from = &tile[row * S::kPitch + column];
    T* to = y + product.target(row0 + row) * p.filters + column;
    if (chunks) {
      *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
    } else {
      for (int e = 0; e < kWide && e < left; ++e) to[e] = from[e];
    }
  }
}

template <typename T, typename S, bool kAligned>
cudaError_t launch(const ConvGather& g, cudaStream_t stream) {
  const int64_t tiles_m = (g.rows + S::kTileM - 1) / S::kTileM,
                tiles_n = (g.p.group_filters() + S::kTileN - 1) / S::kTileN;
  const int64_t blocks = tiles_m * tiles_n * g.products;
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  const auto kernel = conv_mma_kernel<T, S, kAligned>;
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSharedBytes);
  if (allowed != cudaSuccess) return allowed;
  kernel<<<static_cast<unsigned>(blocks), S::kThreads, S::kSharedBytes, stream>>>(
      g, static_cast<int>(tiles_m), static_cast<int>(tiles_n));
  return cudaGetLastError();
}

template <typename T>
cudaError_t choose(const ConvGather& g, cudaStream_t stream) {
  using Large = Tile<128, 128, 2, 2>;
  using Small = Tile<64, 64, 2, 2>;
  using Narrow = Tile<128, 32, 4, 1>;
  const int64_t filters = g.p.group_filters();
  if (g.width % kWide != 0) return launch<T, Small, false>(g, stream);
  if (filters <= 32) return launch<T, Narrow, true>(g, stream);
  const bool large = g.rows * filters * g.products >= int64_t{128} * 128 * 128 && filters > 64;
  return large ? launch<T, Large, true>(g, stream) : launch<T, Small, true>(g, stream);
}

}  // namespace

cudaError_t conv_mma(const ConvParams& p, cudaStream_t stream) {
  const ConvGather g = conv_gather(p);
  return p.dtype == DType::kF16 ? choose<__half>(g, stream) : choose<__nv_bfloat16>(g, stream);
}

}  // namespace zoetrope::cuda
