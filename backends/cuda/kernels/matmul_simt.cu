// Matrix products on FMA units: 256 threads make a tile of c, kPer × kPer elements each. The next
// parts of a and b are read into registers while the present ones, in shared memory, are
// multiplied.
#include "backends/cuda/kernels/matmul.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256, kSide = 16, kDepth = 16;

// Four elements as f32; aligned to four elements.
template <typename T>
__device__ float4 load_four(const T* from) {
  if constexpr (sizeof(T) == 4) {
    return *reinterpret_cast<const float4*>(from);
  } else {
    const uint2 raw = *reinterpret_cast<const uint2*>(from);
    const T* e = reinterpret_cast<const T*>(&raw);
    return {to_float(e[0]), to_float(e[1]), to_float(e[2]), to_float(e[3])};
  }
}

// A part of an operand: kTile outer × kDepth inner elements, of which kTile·kDepth/256 a thread.
// Whether the depth or the outer dimension is contiguous in memory is known at run time; in shared
// memory the outer one is.
template <typename T, int kTile, bool kVector>
struct Part {
  static constexpr int kPitch = kTile + 4;
  static constexpr int kOwn = kTile * kDepth / kThreads;

  const T* base;
  int64_t outer_step, depth_step;  // one of them is 1
  int64_t outer_left, depth_left;  // elements from base to the end
  float own[kOwn];

  // Which element the thread's i-th is. Neighbours in memory go to neighbouring threads.
  __device__ void place(int i, int* outer, int* depth) const {
    const int id = kVector ? (i / 4 * kThreads + threadIdx.x) * 4 + i % 4
                           : i * kThreads + static_cast<int>(threadIdx.x);
    if (depth_step == 1)
      *outer = id / kDepth, *depth = id % kDepth;
    else
      *outer = id % kTile, *depth = id / kTile;
  }

  __device__ void load(int64_t at) {
    const int64_t left = depth_left - at;
#pragma unroll
    for (int i = 0; i < kOwn; i += kVector ? 4 : 1) {
      int outer, depth;
      place(i, &outer, &depth);
      const bool inside = outer < outer_left && depth < left;
      const T* from = base + outer * outer_step + (at + depth) * depth_step;
      if constexpr (kVector) {
        const float4 v = inside ? load_four(from) : float4{0, 0, 0, 0};
        own[i] = v.x, own[i + 1] = v.y, own[i + 2] = v.z, own[i + 3] = v.w;
      } else {
        own[i] = inside ? to_float(*from) : 0.f;
      }
    }
  }

  __device__ void store(float* shared) const {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      int outer, depth;
      place(i, &outer, &depth);
      shared[depth * kPitch + outer] = own[i];
    }
  }
};

// The thread's elements of a tile's side: groups of four, kSide·4 apart.
__device__ int element_of(int thread, int i) { return i / 4 * (kSide * 4) + thread * 4 + i % 4; }

template <typename T, int kPer, bool kVector>
__global__ void __launch_bounds__(kThreads, 2)
    matmul_simt_kernel(const __grid_constant__ MatmulParams p, int tiles_m, int tiles_n) {
  constexpr int kTile = kSide * kPer;
  using PartT = Part<T, kTile, kVector>;
  __shared__ __align__(16) float shared_a[2][kDepth * PartT::kPitch];
  __shared__ __align__(16) float shared_b[2][kDepth * PartT::kPitch];

  const TileAt at = tile_at(blockIdx.x, tiles_m, tiles_n);
  const ProductOffsets offsets = product_offsets(p, at.product);
  const int64_t row0 = static_cast<int64_t>(at.row) * kTile,
                column0 = static_cast<int64_t>(at.column) * kTile;
  PartT a, b;
  a.base = static_cast<const T*>(p.a) + offsets.a + row0 * p.k;
  a.outer_step = p.k, a.depth_step = 1;
  a.outer_left = p.m - row0, a.depth_left = b.depth_left = p.k;
  b.outer_step = p.transpose_b ? p.k : 1, b.depth_step = p.transpose_b ? 1 : p.n;
  b.base = static_cast<const T*>(p.b) + offsets.b + column0 * b.outer_step;
  b.outer_left = p.n - column0;

  const int tx = threadIdx.x % kSide, ty = threadIdx.x / kSide;
  float sum[kPer][kPer] = {};
  a.load(0), b.load(0);
  a.store(shared_a[0]), b.store(shared_b[0]);
  __syncthreads();
  int now = 0;
  for (int64_t depth = 0; depth < p.k; depth += kDepth) {
    const bool more = depth + kDepth < p.k;
    if (more) a.load(depth + kDepth), b.load(depth + kDepth);
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      float av[kPer], bv[kPer];
#pragma unroll
      for (int i = 0; i < kPer; i += 4) {
        *reinterpret_cast<float4*>(av + i) =
            *reinterpret_cast<const float4*>(&shared_a[now][d * PartT::kPitch + element_of(ty, i)]);
        *reinterpret_cast<float4*>(bv + i) =
            *reinterpret_cast<const float4*>(&shared_b[now][d * PartT::kPitch + element_of(tx, i)]);
      }
#pragma unroll
      for (int i = 0; i < kPer; ++i)
#pragma unroll
        for (int j = 0; j < kPer; ++j) sum[i][j] = fmaf(av[i], bv[j], sum[i][j]);
    }
    if (more) a.store(shared_a[now ^ 1]), b.store(shared_b[now ^ 1]);
    __syncthreads();
    now ^= 1;
  }

  T* c = static_cast<T*>(p.c) + at.product * p.m * p.n;
#pragma unroll
  for (int j = 0; j < kPer; ++j) {
    const int64_t column = column0 + element_of(tx, j);
    if (column >= p.n) continue;
    const float bias = load_bias(p, column);
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      const int64_t row = row0 + element_of(ty, i);
      if (row < p.m)
        c[row * p.n + column] = from_float<T>(activate(p.activation, sum[i][j] + bias));
    }
  }
}

template <typename T, int kPer, bool kVector>
cudaError_t launch(const MatmulParams& p, cudaStream_t stream) {
  constexpr int64_t kTile = kSide * kPer;
  const int64_t tiles_m = (p.m + kTile - 1) / kTile, tiles_n = (p.n + kTile - 1) / kTile;
  const int64_t blocks = tiles_m * tiles_n * p.products();
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  matmul_simt_kernel<T, kPer, kVector><<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
      p, static_cast<int>(tiles_m), static_cast<int>(tiles_n));
  return cudaGetLastError();
}

template <typename T>
cudaError_t choose(const MatmulParams& p, cudaStream_t stream) {
  const bool vector = p.k % 4 == 0 && (p.transpose_b || p.n % 4 == 0);
  // Large tiles once they fill the device about twice.
  const bool large = p.m * p.n * p.products() >= int64_t{256} * 128 * 128 && p.m > 64 && p.n > 64;
  if (large) return vector ? launch<T, 8, true>(p, stream) : launch<T, 8, false>(p, stream);
  return vector ? launch<T, 4, true>(p, stream) : launch<T, 4, false>(p, stream);
}

}  // namespace

cudaError_t matmul_simt(const MatmulParams& p, cudaStream_t stream) {
  return with_compute_type(p.dtype, [&](auto t) { return choose<decltype(t)>(p, stream); });
}

}  // namespace zoetrope::cuda
