// Convolutions on FMA units: 256 threads make a tile of y, kPer × kPer elements each. The next
// parts of x and weight are gathered into registers while the present ones, in shared memory, are
// multiplied.
#include "backends/cuda/kernels/conv_gather.cuh"
#include "backends/cuda/kernels/matmul.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256, kSide = 16, kDepth = 16;

// The thread's elements of a tile's side: groups of four, kSide·4 apart.
__device__ int element_of(int thread, int i) { return i / 4 * (kSide * 4) + thread * 4 + i % 4; }

// N: elements of the depth that a thread reads at once, of each of its kOwn rows.
template <typename T, int kPer, int N>
__global__ void __launch_bounds__(kThreads, 2)
    conv_simt_kernel(const __grid_constant__ ConvGather g, int tiles_m, int tiles_n) {
  constexpr int kTile = kSide * kPer, kPitch = kTile + 4;
  constexpr int kApart = kThreads * N / kDepth, kOwn = kTile / kApart;
  __shared__ __align__(16) float shared_a[2][kDepth * kPitch];
  __shared__ __align__(16) float shared_b[2][kDepth * kPitch];

  const TileAt at = tile_at(blockIdx.x, tiles_m, tiles_n);
  const ConvProduct product = ConvProduct::of(g, at.product);
  const ConvParams& p = g.p;
  const int row0 = at.row * kTile, column0 = at.column * kTile;
  const auto filters = static_cast<int>(p.group_filters());
  if (row0 >= product.rows) return;

  const int own_depth = threadIdx.x * N % kDepth, own_row = threadIdx.x * N / kDepth;
  const T* x = static_cast<const T*>(p.x);
  const int64_t filter_size = p.taps() * g.width;
  const T* weight = static_cast<const T*>(p.weight) +
                    (static_cast<int64_t>(product.group) * filters + column0) * filter_size;
  ConvRow rows[kOwn];
#pragma unroll
  for (int i = 0; i < kOwn; ++i) rows[i] = product.row(row0 + own_row + i * kApart);

  float own_a[kOwn][N], own_b[kOwn][N];
  const auto load = [&](int depth) {
    const ConvTap tap = product.tap(depth + own_depth);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int64_t source = product.source(rows[i], tap);
      const int column = own_row + i * kApart;
#pragma unroll
      for (int e = 0; e < N; ++e) own_a[i][e] = own_b[i][e] = 0;
      if (source >= 0) load_chunk(x + source, own_a[i]);
      if (tap.inside && column0 + column < filters)
        load_chunk(weight + column * filter_size + tap.weight, own_b[i]);
    }
  };
  const auto store = [&](int to) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i)
#pragma unroll
      for (int e = 0; e < N; ++e) {
        shared_a[to][(own_depth + e) * kPitch + own_row + i * kApart] = own_a[i][e];
        shared_b[to][(own_depth + e) * kPitch + own_row + i * kApart] = own_b[i][e];
      }
  };

  const int tx = threadIdx.x % kSide, ty = threadIdx.x / kSide;
  float sum[kPer][kPer] = {};
  load(0);
  store(0);
  __syncthreads();
  int now = 0;
  for (int depth = 0; depth < product.depth; depth += kDepth) {
    const bool more = depth + kDepth < product.depth;
    if (more) load(depth + kDepth);
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      float av[kPer], bv[kPer];
#pragma unroll
      for (int i = 0; i < kPer; i += 4) {
        *reinterpret_cast<float4*>(av + i) =
            *reinterpret_cast<const float4*>(&shared_a[now][d * kPitch + element_of(ty, i)]);
        *reinterpret_cast<float4*>(bv + i) =
            *reinterpret_cast<const float4*>(&shared_b[now][d * kPitch + element_of(tx, i)]);
      }
#pragma unroll
      for (int i = 0; i < kPer; ++i)
#pragma unroll
        for (int j = 0; j < kPer; ++j) sum[i][j] = fmaf(av[i], bv[j], sum[i][j]);
    }
    if (more) store(now ^ 1);
    __syncthreads();
    now ^= 1;
  }

  const Side bias{p.bias, p.bias_dtype};
  T* y = static_cast<T*>(p.y) + static_cast<int64_t>(product.group) * filters;
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    const int row = row0 + element_of(ty, i);
    if (row >= product.rows) continue;
    T* to = y + product.target(row) * p.filters;
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      const int column = column0 + element_of(tx, j);
      if (column >= filters) continue;
      const float b = bias ? bias.one(static_cast<int64_t>(product.group) * filters + column) : 0.f;
      to[column] = from_float<T>(activate(p.activation, sum[i][j] + b));
    }
  }
}

template <typename T, int kPer, int N>
cudaError_t launch(const ConvGather& g, cudaStream_t stream) {
  constexpr int64_t kTile = kSide * kPer;
  const int64_t tiles_m = (g.rows + kTile - 1) / kTile,
                tiles_n = (g.p.group_filters() + kTile - 1) / kTile;
  const int64_t blocks = tiles_m * tiles_n * g.products;
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  conv_simt_kernel<T, kPer, N><<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
      g, static_cast<int>(tiles_m), static_cast<int>(tiles_n));
  return cudaGetLastError();
}

}  // namespace

cudaError_t conv_simt(const ConvParams& p, cudaStream_t stream) {
  const ConvGather g = conv_gather(p);
  // Large tiles once they fill the device about twice.
  const bool large =
      g.rows * p.group_filters() * g.products >= int64_t{256} * 128 * 128 && p.group_filters() > 64;
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    if (g.width % 4 != 0) return launch<T, 4, 1>(g, stream);
    return large ? launch<T, 8, 4>(g, stream) : launch<T, 4, 4>(g, stream);
  });
}

}  // namespace zoetrope::cuda
