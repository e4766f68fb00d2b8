// Matrix products of few rows: the time is that of reading b once. A warp makes kColumns columns of
// c for all rows at a time; where there are few columns several warps share the depth. Sums are
// joined in a fixed order.
#include "backends/cuda/kernels/matmul.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kWarps = 8, kLanes = 32;

// Eight elements as f32, aligned to 16 bytes.
template <typename T>
__device__ void load_eight(const T* from, float (&to)[8]) {
  if constexpr (sizeof(T) == 4) {
    *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(from);
    *reinterpret_cast<float4*>(to + 4) = *reinterpret_cast<const float4*>(from + 4);
  } else {
    const uint4 raw = *reinterpret_cast<const uint4*>(from);
    const T* e = reinterpret_cast<const T*>(&raw);
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = to_float(e[i]);
  }
}

// b [n, k]: lanes take 8 neighbours of the depth each.
template <typename A, typename B, int kRows>
struct Transposed {
  static constexpr int kColumns = 4;

  static __device__ void sum(const MatmulParams& p, const A* a, const B* b, int64_t column,
                             int part, int parts, float (&total)[kRows][kColumns]) {
    const int lane = threadIdx.x % kLanes;
    const B* rows[kColumns];
#pragma unroll
    for (int j = 0; j < kColumns; ++j) rows[j] = b + min(column + j, p.n - 1) * p.k;
    for (int64_t d = (part * kLanes + lane) * 8; d < p.k; d += parts * kLanes * 8) {
      float bv[kColumns][8];
#pragma unroll
      for (int j = 0; j < kColumns; ++j) load_eight(rows[j] + d, bv[j]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (r >= p.m) break;
        float av[8];
        load_eight(a + r * p.k + d, av);
#pragma unroll
        for (int j = 0; j < kColumns; ++j)
#pragma unroll
          for (int i = 0; i < 8; ++i) total[r][j] = fmaf(av[i], bv[j][i], total[r][j]);
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
#pragma unroll
        for (int step = kLanes / 2; step > 0; step /= 2)
          total[r][j] += __shfl_xor_sync(~0u, total[r][j], step);
  }
  static __device__ int first_column() { return 0; }
  static constexpr int kWarpColumns = kColumns;
  static __device__ bool writes() { return threadIdx.x % kLanes == 0; }
};

// b [k, n]: 8 lanes take 8 neighbouring columns each, and 4 such groups every fourth row of b.
template <typename A, typename B, int kRows>
struct Straight {
  static constexpr int kColumns = 8;
  static constexpr int kWarpColumns = 64;

  static __device__ void sum(const MatmulParams& p, const A* a, const B* b, int64_t column,
                             int part, int parts, float (&total)[kRows][kColumns]) {
    const int lane = threadIdx.x % kLanes;
    const B* from = b + min(column + first_column(), p.n - 8);
#pragma unroll 4
    for (int64_t d = part * 4 + lane / 8; d < p.k; d += parts * 4) {
      float bv[8];
      load_eight(from + d * p.n, bv);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (r >= p.m) break;
        const float av = to_float(a[r * p.k + d]);
#pragma unroll
        for (int j = 0; j < 8; ++j) total[r][j] = fmaf(av, bv[j], total[r][j]);
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        total[r][j] += __shfl_xor_sync(~0u, total[r][j], 8);
        total[r][j] += __shfl_xor_sync(~0u, total[r][j], 16);
      }
  }
  static __device__ int first_column() { return threadIdx.x % 8 * 8; }
  static __device__ bool writes() { return threadIdx.x % kLanes < 8; }
};

// `parts` warps share a depth; a block has kWarps / parts groups of columns.
template <typename A, typename B, int kRows, template <typename, typename, int> typename Way>
__global__ void __launch_bounds__(kWarps* kLanes)
    matmul_vector_kernel(const __grid_constant__ MatmulParams p, int parts) {
  using W = Way<A, B, kRows>;
  constexpr int kColumns = W::kColumns;
  __shared__ float shared[kWarps][kRows * W::kWarpColumns];

  const int warp = threadIdx.x / kLanes, part = warp % parts;
  const int64_t group = static_cast<int64_t>(blockIdx.x) * (kWarps / parts) + warp / parts;
  const int64_t column = group * W::kWarpColumns;
  const ProductOffsets offsets = product_offsets(p, blockIdx.y);
  const A* a = static_cast<const A*>(p.a) + offsets.a;
  const B* b = static_cast<const B*>(p.b) + offsets.b;
  float total[kRows][kColumns] = {};
  if (column < p.n) W::sum(p, a, b, column, part, parts, total);
  // Through shared memory, so that the little that is left is short code.
  if (W::writes())
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        shared[warp][r * W::kWarpColumns + W::first_column() + j] = total[r][j];
  if (parts > 1)
    __syncthreads();
  else
    __syncwarp();
  if (part > 0) return;
  A* c = static_cast<A*>(p.c) + blockIdx.y * p.m * p.n;
#pragma unroll 1
  for (int i = threadIdx.x % kLanes; i < static_cast<int>(p.m) * W::kWarpColumns; i += kLanes) {
    const int64_t at = column + i % W::kWarpColumns;
    if (at >= p.n) continue;
    float sum = shared[warp][i];
    for (int other = 1; other < parts; ++other) sum += shared[warp + other][i];
    sum = activate(p.activation, sum + load_bias(p, at));
    c[i / W::kWarpColumns * p.n + at] = from_float<A>(sum);
  }
}

template <typename A, typename B, int kRows, template <typename, typename, int> typename Way>
cudaError_t launch(const MatmulParams& p, cudaStream_t stream) {
  using W = Way<A, B, kRows>;
  const int64_t groups = (p.n + W::kWarpColumns - 1) / W::kWarpColumns;
  // Enough warps to keep the memory busy: about 16 a multiprocessor of a large device, as long as
  // each has a few loads to do.
  constexpr int64_t kWanted = 2048;
  const int64_t step = W::kWarpColumns == W::kColumns ? kLanes * 8 : 4 * 4;  // of the depth
  int parts = 1;
  while (parts < kWarps && groups * p.products() * parts < kWanted && p.k > step * parts)
    parts *= 2;
  const int64_t per_block = kWarps / parts;
  const dim3 grid(static_cast<unsigned>((groups + per_block - 1) / per_block),
                  static_cast<unsigned>(p.products()));
  matmul_vector_kernel<A, B, kRows, Way><<<grid, kWarps * kLanes, 0, stream>>>(p, parts);
  return cudaGetLastError();
}

template <typename A, typename B, int kRows>
cudaError_t choose_way(const MatmulParams& p, cudaStream_t stream) {
  return p.transpose_b ? launch<A, B, kRows, Transposed>(p, stream)
                       : launch<A, B, kRows, Straight>(p, stream);
}

template <typename A, typename B>
cudaError_t choose_rows(const MatmulParams& p, cudaStream_t stream) {
  if (p.m == 1) return choose_way<A, B, 1>(p, stream);
  if (p.m == 2) return choose_way<A, B, 2>(p, stream);
  if (p.m <= 4) return choose_way<A, B, 4>(p, stream);
  return choose_way<A, B, 8>(p, stream);
}

}  // namespace

bool accepts_matmul_vector(const MatmulParams& p) {
  if (p.m > kVectorRows || p.products() > 65535 || p.k % 8 != 0 || p.k == 0 || p.n == 0)
    return false;
  if (p.b_dtype != p.dtype && p.dtype != DType::kF32) return false;
  return p.transpose_b || p.n % 8 == 0;
}

cudaError_t matmul_vector(const MatmulParams& p, cudaStream_t stream) {
  if (p.m == 0 || p.products() == 0) return cudaSuccess;
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    if (p.b_dtype == p.dtype) return choose_rows<T, T>(p, stream);
    if (p.b_dtype == DType::kF16) return choose_rows<float, __half>(p, stream);
    return choose_rows<float, __nv_bfloat16>(p, stream);
  });
}

}  // namespace zoetrope::cuda
