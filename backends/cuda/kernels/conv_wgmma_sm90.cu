// Convolutions with warps in roles: one thread asks the copy engine for parts of x, one for
// filters, two warpgroups multiply two blocks of 64 positions each. A part holds 64 channels of a
// tile and of the positions around it, zeros beyond the edges of x: all taps along h and w read the
// same part, each from another row on. Blocks stay and take tile after tile.
#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/conv_wgmma.h"
#include "backends/cuda/kernels/tma.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kCluster = kConvCluster;
constexpr int kConsumers = 2, kThreads = 128 * (kConsumers + 1);
constexpr int kBlocks = kConvBlocks / kConsumers;  // of a warpgroup
constexpr int kDepth = 64, kRowBytes = 128;
constexpr int kParts = 2, kPartBytes = kConvPartRows * kRowBytes;
constexpr int kOutBytes = 64 * kRowBytes;

template <int kN>
struct Shared {
  static constexpr int kStages = kN > 128 ? 4 : 6;
  char parts[kParts][kPartBytes];
  char filters[kStages][kN * kRowBytes];
  char out[kConsumers][2][kOutBytes];
  float bias[kN];
  uint64_t part_full[kParts], part_empty[kParts];
  uint64_t full[kStages], empty[kStages];
};

// Where in a ring of stages a warp is, and the parity of its barriers.
template <int kStages>
struct Ring {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void advance() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

struct TileAt {
  int column, b, t, h, w;
  int tap_begin, tap_end;  // taps along t that see anything of x, one at least
};
// Block `rank` of the cluster that takes pair i. Beyond the last tile of a plane it lies outside x
// and y.
__device__ TileAt tile_at(const ConvWgmmaParams& p, int i, int rank) {
  TileAt at;
  at.column = i % p.columns * p.tile_filters;
  i /= p.columns;
  const int pairs = conv_plane_pairs(p);
  const int plane = i % pairs * kCluster + rank;
  i /= pairs;
  at.w = plane % p.tiles[2] * p.tile[2];
  at.h = plane / p.tiles[2] * p.tile[1];
  at.t = i % p.tiles[0] * p.tile[0];
  at.b = i / p.tiles[0];
  at.tap_begin = conv_tap_begin(p, at.t), at.tap_end = conv_tap_end(p, at.t);
  return at;
}

// Calls body(tile) for each tile of this block.
template <typename Body>
__device__ void for_tiles(const ConvWgmmaParams& p, Body&& body) {
  const auto rank = static_cast<int>(cluster_rank());
  const int pairs = conv_pairs(p);
#pragma unroll 1
  for (int i = blockIdx.x / kCluster; i < pairs; i += gridDim.x / kCluster)
    body(tile_at(p, i, rank));
}

// Calls part(t, h, w, channel) for each part of a tile, and tap(t, h, w, channel) for each tap that
// it serves.
template <typename Part, typename Tap>
__device__ void for_parts(const ConvWgmmaParams& p, const TileAt& at, Part&& part, Tap&& tap) {
  const int outer_h = p.inner_h ? 1 : p.kernel[1], outer_w = p.inner_w ? 1 : p.kernel[2];
  const int inner_h = p.inner_h ? p.kernel[1] : 1, inner_w = p.inner_w ? p.kernel[2] : 1;
#pragma unroll 1
  for (int t = at.tap_begin; t < at.tap_end; ++t)
#pragma unroll 1
    for (int oh = 0; oh < outer_h; ++oh)
#pragma unroll 1
      for (int ow = 0; ow < outer_w; ++ow)
#pragma unroll 1
        for (int channel = 0; channel < p.channels; channel += kDepth) {
          part(t, oh, ow, channel);
#pragma unroll 1
          for (int ih = 0; ih < inner_h; ++ih)
#pragma unroll 1
            for (int iw = 0; iw < inner_w; ++iw)
              tap((t * p.kernel[1] + oh + ih) * p.kernel[2] + ow + iw, ih, iw, channel,
                  ih == inner_h - 1 && iw == inner_w - 1);
        }
}

// One thread.
template <int kN>
__device__ void produce_parts(const ConvWgmmaParams& p, Shared<kN>& shared) {
  prefetch_tensor_map(&p.x);
  const auto bytes = static_cast<uint32_t>(p.part[0] * p.part[1] * p.part[2] * kRowBytes);
  Ring<kParts> ring;
  for_tiles(p, [&](const TileAt& at) {
    for_parts(
        p, at,
        [&](int t, int h, int w, int channel) {
          const uint32_t full = shared_address(&shared.part_full[ring.stage]);
          barrier_wait(shared_address(&shared.part_empty[ring.stage]), ring.parity ^ 1);
          barrier_expect(full, bytes);
          int frame = at.t * p.stride[0] + t * p.dilation[0] - p.pad[0];
          if (p.replicate_t) frame = min(max(frame, 0), p.in_t - 1);
          tma_load_5d(shared_address(shared.parts[ring.stage]), &p.x, full, channel,
                      at.w * p.stride[2] + w * p.dilation[2] - p.pad[2],
                      at.h * p.stride[1] + h * p.dilation[1] - p.pad[1], frame, at.b);
          ring.advance();
        },
        [](int, int, int, int, bool) {});
  });
}

// One thread.
template <int kN>
__device__ void produce_filters(const ConvWgmmaParams& p, Shared<kN>& shared) {
  prefetch_tensor_map(&p.weight);
  constexpr uint16_t kAll = (1 << kCluster) - 1;
  const auto rank = static_cast<int>(cluster_rank());
  Ring<Shared<kN>::kStages> ring;
  for_tiles(p, [&](const TileAt& at) {
    for_parts(
        p, at, [](int, int, int, int) {},
        [&](int tap, int, int, int channel, bool) {
          const uint32_t full = shared_address(&shared.full[ring.stage]);
          barrier_wait(shared_address(&shared.empty[ring.stage]), ring.parity ^ 1);
          barrier_expect(full, kN * kRowBytes);
          constexpr int kRows = kN / kCluster;  // the other block loads the others for both
          tma_load_3d_multicast(
              shared_address(shared.filters[ring.stage]) + rank * kRows * kRowBytes, &p.weight,
              full, kAll, channel, tap, at.column + rank * kRows);
          ring.advance();
        });
  });
}

template <typename T, int kN, int kSteps>
__device__ void multiply(float (&sum)[kBlocks][kN / 2], const uint64_t (&a)[kBlocks], uint64_t b,
                         int add) {
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < kSteps; ++step)
#pragma unroll
    for (int i = 0; i < kBlocks; ++i)
      Wgmma<T, kN>::multiply(sum[i], a[i] + step * 2, b + step * 2, add | step);
  wgmma_commit();
}

template <Activation kActivation>
__device__ float finish(float x) {
  if constexpr (kActivation == Activation::kGelu)
    return 0.5f * x * (1.f + erff(0.7071067811865476f * x));
  else
    return activate(kActivation, x);
}

// Writes the warpgroup's blocks, 64 filters of each at a time, from two boxes in turn.
template <typename T, int kN, Activation kActivation>
__device__ void write(const ConvWgmmaParams& p, Shared<kN>& shared,
                      const float (&sum)[kBlocks][kN / 2], int group, const TileAt& at) {
  const int thread = threadIdx.x % 128, lane = thread % 32;
  const int row = thread / 32 * 16 + lane / 4;
  constexpr int kBoxes = (kN + 63) / 64;
#pragma unroll
  for (int block = 0; block < kBlocks; ++block)
#pragma unroll
    for (int box = 0; box < kBoxes; ++box) {
      char* out = shared.out[group][(block * kBoxes + box) % 2];
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        if (box * 8 + j >= kN / 8) continue;
        const float2 bias =
            *reinterpret_cast<const float2*>(&shared.bias[box * 64 + j * 8 + lane % 4 * 2]);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float* s = &sum[block][(box * 8 + j) * 4 + half * 2];
          const int r = row + half * 8;
          *reinterpret_cast<uint32_t*>(out + r * kRowBytes + ((j ^ (r & 7)) * 16) + lane % 4 * 4) =
              pack_pair<T>(finish<kActivation>(s[0] + bias.x), finish<kActivation>(s[1] + bias.y));
        }
      }
      fence_async_proxy();
      if (thread == 0) tma_store_wait_read<0>();  // the other box is free
      named_barrier(1 + group, 128);
      if (thread == 0) {
        const int* from = p.block_at[group * kBlocks + block];
        tma_store_5d(&p.y, shared_address(out), at.column + box * 64, at.w + from[2],
                     at.h + from[1], at.t + from[0], at.b);
        tma_store_commit();
      }
    }
}

template <typename T, int kN>
__device__ void consume(const ConvWgmmaParams& p, Shared<kN>& shared) {
  const int group = threadIdx.x / 128 - 1, thread = threadIdx.x % 128;
  const auto release_part = [&](int stage) {
    if (thread % 32 == 0) barrier_arrive(shared_address(&shared.part_empty[stage]));
  };
  const auto release = [&](int stage) {
    if (thread % 32 < kCluster)
      barrier_arrive_in(shared_address(&shared.empty[stage]), thread % 32);
  };
  const Side side{p.bias, p.bias_dtype};
  // Descriptors count in 16 bytes.
  uint64_t operand_a[kBlocks];
#pragma unroll
  for (int i = 0; i < kBlocks; ++i)
    operand_a[i] = wgmma_operand_rows(
        shared_address(shared.parts[0]) + p.block_row[group * kBlocks + i] * kRowBytes,
        p.next_eight * kRowBytes);
  const uint64_t operand_b = wgmma_operand(shared_address(shared.filters[0]));
  const int step_h = p.dilation[1] * p.part[2] * (kRowBytes / 16),
            step_w = p.dilation[2] * (kRowBytes / 16);
  Ring<kParts> parts;
  Ring<Shared<kN>::kStages> ring;
  for_tiles(p, [&](const TileAt& at) {
    // On its way while the tile is multiplied.
    const int column = group * 128 + thread;
    float bias = 0;
    if (side && column < kN && at.column + column < p.filters) bias = side.one(at.column + column);

    float sum[kBlocks][kN / 2];
    int add = 0, last = -1, last_part = -1;
    for_parts(
        p, at,
        [&](int, int, int, int) {
          barrier_wait(shared_address(&shared.part_full[parts.stage]), parts.parity);
        },
        [&](int, int h, int w, int channel, bool last_of_part) {
          barrier_wait(shared_address(&shared.full[ring.stage]), ring.parity);
          const uint64_t from =
              static_cast<uint64_t>(parts.stage * (kPartBytes / 16) + h * step_h + w * step_w);
          uint64_t a[kBlocks];
#pragma unroll
          for (int k = 0; k < kBlocks; ++k) a[k] = operand_a[k] + from;
          const uint64_t b = operand_b + static_cast<uint64_t>(ring.stage * (kN * kRowBytes / 16));
          if (p.channels - channel > 32)
            multiply<T, kN, 4>(sum, a, b, add);
          else
            multiply<T, kN, 2>(sum, a, b, add);
          add = 1;
          wgmma_wait<1>();
          if (last >= 0) release(last);
          if (last_part >= 0) release_part(last_part);
          last = ring.stage, last_part = -1;
          ring.advance();
          if (last_of_part) {
            last_part = parts.stage;
            parts.advance();
          }
        });
    wgmma_wait<0>();
    release(last);
    release_part(last_part);
#pragma unroll
    for (int k = 0; k < kBlocks; ++k)
#pragma unroll
      for (int e = 0; e < kN / 2; ++e) wgmma_pin(sum[k][e]);

    named_barrier(3, 256);  // both groups are done with the last tile's
    if (column < kN) shared.bias[column] = bias;
    named_barrier(3, 256);
    switch (p.activation) {
#define ZT_CASE(name)                                          \
  case Activation::name:                                       \
    write<T, kN, Activation::name>(p, shared, sum, group, at); \
    break;
#define ZT_ACTIVATION(kind, name) ZT_CASE(kind)
      ZT_CASE(kNone)
#include "graph/ops/activation_list.inc"
#undef ZT_ACTIVATION
#undef ZT_CASE
    }
  });
  if (thread == 0) tma_store_wait<0>();
}

template <typename T, int kN>
__global__ void __cluster_dims__(kCluster, 1, 1) __launch_bounds__(kThreads, 1)
    conv_wgmma_kernel(const __grid_constant__ ConvWgmmaParams p) {
  extern __shared__ __align__(1024) char memory[];
  auto& shared = *reinterpret_cast<Shared<kN>*>(memory);
  if (threadIdx.x == 0) {
    for (int s = 0; s < kParts; ++s) {
      barrier_init(shared_address(&shared.part_full[s]), 1);
      barrier_init(shared_address(&shared.part_empty[s]), kConsumers * 4);  // warps
    }
    for (int s = 0; s < Shared<kN>::kStages; ++s) {
      barrier_init(shared_address(&shared.full[s]), 1);
      barrier_init(shared_address(&shared.empty[s]), kConsumers * 4 * kCluster);
    }
    barrier_init_fence();
  }
  cluster_barrier();
  if (threadIdx.x < 128) {
    registers_lower<40>();
    if (threadIdx.x == 0) produce_parts(p, shared);
    if (threadIdx.x == 32) produce_filters(p, shared);
    __syncwarp();
  } else {
    registers_raise<232>();
    consume<T, kN>(p, shared);
  }
  cluster_barrier();  // the other block may still write here
}

template <typename T, int kN>
cudaError_t launch(const ConvWgmmaParams& p, cudaStream_t stream) {
  const auto kernel = conv_wgmma_kernel<T, kN>;
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(Shared<kN>));
  if (allowed != cudaSuccess) return allowed;
  const int pairs = conv_pairs(p), most = p.multiprocessors / kCluster;
  const int blocks = (pairs < most ? pairs : most) * kCluster;
  if (blocks == 0) return cudaSuccess;
  kernel<<<static_cast<unsigned>(blocks), kThreads, sizeof(Shared<kN>), stream>>>(p);
  return cudaGetLastError();
}

template <typename T>
cudaError_t choose(const ConvWgmmaParams& p, cudaStream_t stream) {
  switch (p.tile_filters) {
    case 64: return launch<T, 64>(p, stream);
    case 96: return launch<T, 96>(p, stream);
    case 128: return launch<T, 128>(p, stream);
    case 192: return launch<T, 192>(p, stream);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t conv_wgmma(const ConvWgmmaParams& p, cudaStream_t stream) {
  return p.dtype == DType::kF16 ? choose<__half>(p, stream) : choose<__nv_bfloat16>(p, stream);
}

}  // namespace zoetrope::cuda
