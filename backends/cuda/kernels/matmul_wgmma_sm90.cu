// Matrix products with warps in roles: one thread asks the copy engine for parts of a and b, two
// warpgroups multiply 64 rows of the tile each, and write c through the copy engine while the parts
// of the next tile are on their way. Blocks stay and take tile after tile. The two blocks of a
// cluster take tiles one above the other: each loads half of their part of b for both.
#include <type_traits>

#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/common.cuh"
#include "backends/cuda/kernels/matmul.cuh"
#include "backends/cuda/kernels/matmul_wgmma.h"
#include "backends/cuda/kernels/tma.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kM = kWgmmaTileM;
constexpr int kCluster = kWgmmaCluster, kConsumers = 2, kThreads = 128 * (kConsumers + 1);
constexpr int kRowBytes = kWgmmaBoxBytes;  // of a part: 64 or 128 of the depth
constexpr int kBytesA = kM * kRowBytes;
constexpr int kOutBytes = 64 * kRowBytes;  // a box of c

// What depends on the width of tiles.
template <int kColumns>
struct Tile {
  static constexpr int kN = kColumns, kBytesB = kN * kRowBytes, kStageBytes = kBytesA + kBytesB;
  static constexpr int kStages = 192 * 1024 / kStageBytes;

  struct Shared {
    char stages[kStages][kStageBytes];
    char out[kConsumers][2][kOutBytes];
    float bias[kN], scales[kN];  // of the tile's columns; each group fills half
    uint64_t full[kStages], empty[kStages];
  };

  // Where in the ring of stages a warp is, and the parity of its barriers.
  struct Ring {
    int stage = 0;
    uint32_t parity = 0;
    __device__ void advance() {
      if (++stage == kStages) stage = 0, parity ^= 1;
    }
  };

  struct Schedule {
    int tiles_m, tiles_n;  // of clusters
    int64_t tiles;
    __host__ __device__ explicit Schedule(const MatmulWgmmaParams& p)
        : tiles_m(static_cast<int>((p.m + kM * kCluster - 1) / (kM * kCluster))),
          tiles_n(static_cast<int>((p.n + kN - 1) / kN)),
          tiles(static_cast<int64_t>(tiles_m) * tiles_n * p.products) {}
  };
};

// One thread.
template <typename Way, typename T, bool kRowsB>
__device__ void produce(const MatmulWgmmaParams& p, typename Way::Shared& shared) {
  constexpr int kN = Way::kN;
  constexpr int kDepth = kRowBytes / static_cast<int>(sizeof(T));
  prefetch_tensor_map(&p.a);
  prefetch_tensor_map(&p.b);
  const auto rank = static_cast<int>(cluster_rank());
  constexpr uint16_t kAll = (1 << kCluster) - 1;
  const typename Way::Schedule schedule(p);
  typename Way::Ring ring;
  for (int64_t i = blockIdx.x / kCluster; i < schedule.tiles; i += gridDim.x / kCluster) {
    const TileAt at = tile_at(i, schedule.tiles_m, schedule.tiles_n);
    const int row = (at.row * kCluster + rank) * kM, column = at.column * kN;
    const auto product = static_cast<int>(at.product);
    const int product_a = p.step_a ? product : 0, product_b = p.step_b ? product : 0;
    for (int depth = 0; depth < p.k; depth += kDepth) {
      const uint32_t full = shared_address(&shared.full[ring.stage]);
      const uint32_t a = shared_address(shared.stages[ring.stage]), b = a + kBytesA;
      barrier_wait(shared_address(&shared.empty[ring.stage]), ring.parity ^ 1);
      barrier_expect(full, Way::kStageBytes);
      tma_load_3d(a, &p.a, full, depth, row, product_a);
      if constexpr (kRowsB) {
#pragma unroll
        for (int box = 0; box < kN / 64 / kCluster; ++box) {
          const int at_box = rank * (kN / 64 / kCluster) + box;
          tma_load_3d_multicast(b + at_box * 64 * kRowBytes, &p.b, full, kAll, column + at_box * 64,
                                depth, product_b);
        }
      } else {
        constexpr int kRows = kN / kCluster;
        tma_load_3d_multicast(b + rank * kRows * kRowBytes, &p.b, full, kAll, depth,
                              column + rank * kRows, product_b);
      }
      ring.advance();
    }
  }
}

template <Activation kActivation>
__device__ float finish(float x) {
  if constexpr (kActivation == Activation::kGelu)
    return 0.5f * x * (1.f + erff(0.7071067811865476f * x));
  else
    return activate(kActivation, x);
}

// A consumer's tile: its 64 rows, and the factors of the two that the thread has.
struct Target {
  int group, row, column, product;
  float scales[2];
};

// Writes the warpgroup's rows, 128 bytes of each at a time, from two boxes in turn.
template <typename Way, typename Out, bool kScaled, Activation kActivation, typename Sum>
__device__ void write(const MatmulWgmmaParams& p, typename Way::Shared& shared,
                      const Sum (&sum)[Way::kN / 2], const Target& target) {
  constexpr int kColumns = kRowBytes / static_cast<int>(sizeof(Out));
  const int thread = threadIdx.x % 128, lane = thread % 32;
  const int at_row = thread / 32 * 16 + lane / 4;
#pragma unroll
  for (int part = 0; part < Way::kN / kColumns; ++part) {
    char* out = shared.out[target.group][part % 2];
#pragma unroll
    for (int j = 0; j < kColumns / 8; ++j) {
      const int within = j * 8 + lane % 4 * 2;
      const int at = part * kColumns + within;
      const float2 bias = *reinterpret_cast<const float2*>(&shared.bias[at]);
      float2 scales{1, 1};
      if constexpr (kScaled) scales = *reinterpret_cast<const float2*>(&shared.scales[at]);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Sum* s = &sum[(part * (kColumns / 8) + j) * 4 + half * 2];
        float x = static_cast<float>(s[0]), y = static_cast<float>(s[1]);
        if constexpr (kScaled) {
          x *= target.scales[half] * scales.x;
          y *= target.scales[half] * scales.y;
        }
        x = finish<kActivation>(x + bias.x);
        y = finish<kActivation>(y + bias.y);
        const int r = at_row + half * 8;
        const int byte = within * static_cast<int>(sizeof(Out));
        char* to = out + r * kRowBytes + (((byte / 16) ^ (r & 7)) * 16) + byte % 16;
        if constexpr (sizeof(Out) == 4)
          *reinterpret_cast<float2*>(to) = {x, y};
        else
          *reinterpret_cast<uint32_t*>(to) = pack_pair<Out>(x, y);
      }
    }
    fence_async_proxy();
    if (thread == 0) tma_store_wait_read<0>();  // the other box is free
    named_barrier(1 + target.group, 128);
    if (thread == 0) {
      tma_store_3d(&p.c, shared_address(out), target.column + part * kColumns, target.row,
                   target.product);
      tma_store_commit();
    }
  }
}

template <typename Way, typename T, typename Out, bool kRowsB, bool kScaled>
__device__ void consume(const MatmulWgmmaParams& p, typename Way::Shared& shared) {
  constexpr int kN = Way::kN;
  using Sum = std::conditional_t<std::is_same_v<T, int8_t>, int, float>;
  // Tensor cores keep about 13 bits below the largest product or sum of f8e4m3: 128 of the depth
  // are summed there, these sums in f32.
  constexpr bool kApart = std::is_same_v<T, Fp8E4M3>;
  constexpr int kDepth = kRowBytes / static_cast<int>(sizeof(T));
  const int group = threadIdx.x / 128 - 1, thread = threadIdx.x % 128;
  const auto rank = static_cast<int>(cluster_rank());
  const auto release = [&](int stage) {
    if (thread % 32 < kCluster)
      barrier_arrive_in(shared_address(&shared.empty[stage]), thread % 32);
  };
  const uint64_t operand_a =
      wgmma_operand(shared_address(shared.stages[0]) + group * 64 * kRowBytes);
  const uint64_t operand_b =
      wgmma_operand(shared_address(shared.stages[0]) + kBytesA, kRowsB ? 64 * kRowBytes : 16);
  const auto deep = static_cast<int>(p.k);
  const typename Way::Schedule schedule(p);
  typename Way::Ring ring;
  for (int64_t i = blockIdx.x / kCluster; i < schedule.tiles; i += gridDim.x / kCluster) {
    const TileAt at = tile_at(i, schedule.tiles_m, schedule.tiles_n);
    Target target{group,
                  (at.row * kCluster + rank) * kM + group * 64,
                  at.column * kN,
                  static_cast<int>(at.product),
                  {}};
    // On their way while the parts are multiplied.
    const int own = group * (kN / kConsumers) + thread, column = target.column + own;
    const bool has_column = thread < kN / kConsumers && column < p.n;
    float bias = 0, scale = 0;
    if (p.bias != nullptr && has_column) bias = load_element_f32(p.bias, p.bias_dtype, column);
    if constexpr (kScaled) {
      if (has_column) scale = p.b_scales[column];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = target.row + thread / 32 * 16 + half * 8 + thread % 32 / 4;
        if (row < p.m) target.scales[half] = p.a_scales[row];
      }
    }
    Sum sum[kN / 2], part[kApart ? kN / 2 : 1];
    int last = -1;
    for (int depth = 0; depth < deep; depth += kDepth) {
      barrier_wait(shared_address(&shared.full[ring.stage]), ring.parity);
      wgmma_fence();
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        // Descriptors count in 16 bytes.
        const uint64_t at = static_cast<uint64_t>(ring.stage) * (Way::kStageBytes / 16);
        const uint64_t a = operand_a + at + step * 2,
                       b = operand_b + at + step * (kRowsB ? 128 : 2);
        if constexpr (kApart)
          Wgmma<T, kN>::multiply(part, a, b, step > 0);
        else
          Wgmma<T, kN, kRowsB>::multiply(sum, a, b, depth > 0 || step > 0);
      }
      wgmma_commit();
      if constexpr (kApart) {
        wgmma_wait<0>();
#pragma unroll
        for (int s = 0; s < kN / 2; ++s) sum[s] = depth > 0 ? sum[s] + part[s] : part[s];
        release(ring.stage);
      } else {
        wgmma_wait<1>();
        if (last >= 0) release(last);
        last = ring.stage;
      }
      ring.advance();
    }
    wgmma_wait<0>();
    if (last >= 0) release(last);

    named_barrier(3, 256);  // both groups are done with the last tile's
    if (thread < kN / kConsumers) {
      shared.bias[own] = bias;
      if constexpr (kScaled) shared.scales[own] = scale;
    }
    named_barrier(3, 256);
    switch (p.activation) {
#define ZT_CASE(name)                                                   \
  case Activation::name:                                                \
    write<Way, Out, kScaled, Activation::name>(p, shared, sum, target); \
    break;
#define ZT_ACTIVATION(kind, name) ZT_CASE(kind)
      ZT_CASE(kNone)
#include "graph/ops/activation_list.inc"
#undef ZT_ACTIVATION
#undef ZT_CASE
    }
  }
  if (thread == 0) tma_store_wait<0>();
}

template <typename Way, typename T, typename Out, bool kRowsB, bool kScaled>
__global__ void __cluster_dims__(kCluster, 1, 1) __launch_bounds__(kThreads, 1)
    matmul_wgmma_kernel(const __grid_constant__ MatmulWgmmaParams p) {
  extern __shared__ __align__(1024) char memory[];
  auto& shared = *reinterpret_cast<typename Way::Shared*>(memory);
  if (threadIdx.x == 0) {
    for (int s = 0; s < Way::kStages; ++s) {
      barrier_init(shared_address(&shared.full[s]), 1);
      barrier_init(shared_address(&shared.empty[s]), kConsumers * 4 * kCluster);  // warps
    }
    barrier_init_fence();
  }
  cluster_barrier();
  if (threadIdx.x < 128) {
    registers_lower<40>();
    if (threadIdx.x == 0) produce<Way, T, kRowsB>(p, shared);
    __syncwarp();
  } else {
    registers_raise<232>();
    consume<Way, T, Out, kRowsB, kScaled>(p, shared);
  }
  cluster_barrier();  // the other block may still write here
}

template <typename Way, typename T, typename Out, bool kRowsB, bool kScaled>
cudaError_t launch(const MatmulWgmmaParams& p, cudaStream_t stream) {
  constexpr int kBytes = sizeof(typename Way::Shared);
  const auto kernel = matmul_wgmma_kernel<Way, T, Out, kRowsB, kScaled>;
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (allowed != cudaSuccess) return allowed;
  const int64_t tiles = typename Way::Schedule(p).tiles, most = p.multiprocessors / kCluster;
  const int64_t clusters = tiles < most ? tiles : most;
  kernel<<<static_cast<unsigned>(clusters * kCluster), kThreads, kBytes, stream>>>(p);
  return cudaGetLastError();
}

}  // namespace

cudaError_t matmul_wgmma(const MatmulWgmmaParams& p, cudaStream_t stream) {
  const auto same = [&](auto way, auto t) {
    using T = decltype(t);
    using Way = decltype(way);
    return p.transpose_b ? launch<Way, T, T, false, false>(p, stream)
                         : launch<Way, T, T, true, false>(p, stream);
  };
  const auto either = [&](auto t) {
    return p.tile_n == 256 ? same(Tile<256>(), t) : same(Tile<128>(), t);
  };
  const auto scaled = [&](auto way, auto t) {
    return with_compute_type(p.out, [&](auto out) {
      return launch<decltype(way), decltype(t), decltype(out), false, true>(p, stream);
    });
  };
  switch (p.dtype) {
    case DType::kF16: return either(__half());
    case DType::kBF16: return either(__nv_bfloat16());
    case DType::kI8: return scaled(Tile<256>(), int8_t());
    case DType::kF8E4M3: return scaled(Tile<128>(), Fp8E4M3());
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace zoetrope::cuda
