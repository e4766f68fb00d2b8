// After FlashAttention-3 (arXiv 2407.08608): a thread asks the copy engine for keys and values;
// warpgroups have 64 queries each. While one computes its softmax others multiply, and within each
// the scores of the next keys are on their way while those of the last are taken into the sum. The
// softmax looks for no maximum but in the first tile and where weights around that grow too large:
// such a tile's scores are computed again.
// Where queries are few, two warpgroups take turns, and the blocks of a cluster have parts of the
// keys and read one another's sums. Where they are many, the two blocks of a cluster each bring
// half of the keys and values for both: what is read from L2 is a good part of the power, which
// limits.
#include "backends/cuda/kernels/attention.cuh"
#include "backends/cuda/kernels/attention_wgmma.cuh"
#include "backends/cuda/kernels/attention_wgmma.h"
#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/tma.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kRowBytes = 128;                 // 64 dims of a token
constexpr int kTurn = 1, kVote = 3, kAll = 6;  // barriers by number; of the first two one a group

template <AttentionWay kWay>
struct Way {
  static constexpr int kDim = kWay == AttentionWay::kFew80                                    ? 80
                              : kWay == AttentionWay::kFew64 || kWay == AttentionWay::kMany64 ? 64
                                                                                              : 128;
  static constexpr int kRows = attention_tile(kWay).rows, kKeys = attention_tile(kWay).keys;
  static constexpr bool kMany = kRows == 192;
  static constexpr int kGroups = kRows / 64, kThreads = 128 * (kGroups + 1),
                       kBoxes = (kDim + 63) / 64;
  static constexpr int kStages = kMany ? 4 : 2;
  static constexpr int kOwnRegisters = kMany ? 160 : 240, kOtherRegisters = kMany ? 32 : 24;

  struct Shared {
    char q[kBoxes][kRows * kRowBytes];
    char k[kStages][kBoxes][kKeys * kRowBytes];
    char v[kStages][kBoxes][kKeys * kRowBytes];
    uint64_t q_full, k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
  };
};

// What a block works on.
struct Task {
  int head, kv_head, sample, row;  // its first query
  int keys;                        // that any of its queries sees, or of those it shares keys with
  int diagonal;                    // query row + i sees keys up to diagonal + i, where causal
  int rank;                        // in the cluster: its part of the keys, or of what is read
  int first, tiles;                // its first key, and how many tiles of keys it has

  __device__ Task(const AttentionWgmmaParams& a, const AttentionTile& tile) {
    const AttentionParams& p = a.p;
    const int cluster = a.parts * a.share, index = static_cast<int>(blockIdx.x) / cluster;
    rank = static_cast<int>(blockIdx.x) - index * cluster;
    const int rows = tile.rows * a.share;
    const int across = static_cast<int>((p.queries + rows - 1) / rows);
    const int rest = index / across, first_row = (index - rest * across) * rows;
    row = first_row + (a.share > 1 ? rank * tile.rows : 0);
    sample = rest / p.heads;
    head = rest - sample * p.heads;
    kv_head = head / (p.heads / p.kv_heads);
    keys = static_cast<int>(p.keys);
    if (p.lengths != nullptr) keys = max(0, min(keys, p.lengths[sample]));
    const auto before_first = static_cast<int>(p.keys - p.queries);
    diagonal = row + before_first;
    if (p.causal) keys = max(0, min(keys, first_row + before_first + rows));
    const int all = (keys + tile.keys - 1) / tile.keys;
    const int part = a.parts > 1 ? rank : 0, before = all * part / a.parts;
    first = before * tile.keys;
    tiles = all * (part + 1) / a.parts - before;
  }
};

// One thread.
template <typename W>
__device__ void produce(const AttentionWgmmaParams& a, typename W::Shared& shared,
                        const Task& task) {
  const uint32_t q_full = shared_address(&shared.q_full);
  barrier_expect(q_full, sizeof(shared.q));
#pragma unroll
  for (int box = 0; box < W::kBoxes; ++box)
    tma_load_4d(shared_address(shared.q[box]), &a.q, q_full, box * 64, task.head, task.row,
                task.sample);
  const auto load = [&](const CUtensorMap* map, auto& stages, uint64_t* full, uint64_t* empty,
                        int tile) {
    const int stage = tile % W::kStages, token = task.first + tile * W::kKeys;
    barrier_wait(shared_address(&empty[stage]), tile / W::kStages % 2 ^ 1);
    const uint32_t barrier = shared_address(&full[stage]);
    barrier_expect(barrier, sizeof(stages[stage]));
    if (W::kMany && a.share > 1) {
      constexpr int kHalf = W::kKeys / 2;
#pragma unroll
      for (int box = 0; box < W::kBoxes; ++box)
        tma_load_4d_multicast(shared_address(stages[stage][box]) + task.rank * kHalf * kRowBytes,
                              map, barrier, 3, box * 64, task.kv_head, token + task.rank * kHalf,
                              task.sample);
    } else {
#pragma unroll
      for (int box = 0; box < W::kBoxes; ++box)
        tma_load_4d(shared_address(stages[stage][box]), map, barrier, box * 64, task.kv_head, token,
                    task.sample);
    }
  };
  for (int tile = 0; tile < task.tiles; ++tile) {
    load(&a.k, shared.k, shared.k_full, shared.k_empty, tile);
    if (tile > 0) load(&a.v, shared.v, shared.v_full, shared.v_empty, tile - 1);
  }
  load(&a.v, shared.v, shared.v_full, shared.v_empty, task.tiles - 1);
}

// What a part of the keys gives, for the other blocks of the cluster; in the place of the keys and
// values.
template <typename W>
struct Partial {
  float sums[W::kRows][W::kDim + 4], most[W::kRows], total[W::kRows];
};

__device__ inline float4 load_4_of(uint32_t address) {
  float4 x;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
               : "r"(address)
               : "memory");
  return x;
}
__device__ inline float load_of(uint32_t address) {
  float x;
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(x) : "r"(address) : "memory");
  return x;
}

// The blocks of a cluster have parts of the keys of the same queries; each adds up some of the
// rows, always in the parts' order.
template <typename T, typename W>
__device__ void combine(const AttentionParams& p, int parts, typename W::Shared& shared,
                        const Task& task, const float (&o)[W::kDim / 2], const Running& running,
                        float scale) {
  constexpr int kRows = W::kRows, kDim = W::kDim, kConsumers = 128 * W::kGroups;
  auto& partial = *reinterpret_cast<Partial<W>*>(shared.k);
  static_assert(sizeof(partial) <= sizeof(shared.k) + sizeof(shared.v));
  const int thread = static_cast<int>(threadIdx.x) - 128;
  named_barrier(kAll, kConsumers);  // all are done with keys and values
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float sum = quad_sum(running.sum[h]);
    const int row = thread / 32 * 16 + thread % 32 / 4 + 8 * h;
    if (thread % 4 == 0) {
      partial.most[row] = running.most[h];
      partial.total[row] = sum;
    }
#pragma unroll
    for (int j = 0; j < kDim / 8; ++j)
      *reinterpret_cast<float2*>(&partial.sums[row][8 * j + 2 * (thread % 4)]) =
          make_float2(o[4 * j + 2 * h], o[4 * j + 2 * h + 1]);
  }
  cluster_barrier();
  constexpr int kFours = kDim / 4;
  const int each = (kRows + parts - 1) / parts;
  for (int i = thread; i < each * kFours; i += kConsumers) {
    const int row = task.rank * each + i / kFours, column = i % kFours * 4;
    if (row >= kRows || task.row + row >= p.queries || column >= p.v_dim) continue;
    const auto of = [&](const void* place, int part) {
      return address_in(shared_address(place), static_cast<uint32_t>(part));
    };
    float most = -INFINITY, total = 0;
    for (int part = 0; part < parts; ++part)
      most = fmaxf(most, load_of(of(&partial.most[row], part)));
    if (most == -INFINITY) most = 0;
    float4 sums{};
    for (int part = 0; part < parts; ++part) {
      const float weight = exp2_of((load_of(of(&partial.most[row], part)) - most) * scale);
      const float4 x = load_4_of(of(&partial.sums[row][column], part));
      total += weight * load_of(of(&partial.total[row], part));
      sums.x += weight * x.x, sums.y += weight * x.y;
      sums.z += weight * x.z, sums.w += weight * x.w;
    }
    const float factor = total > 0 ? 1.f / total : 0.f;
    T* out = static_cast<T*>(p.out) +
             ((task.sample * p.queries + task.row + row) * p.heads + task.head) * p.v_dim + column;
    *reinterpret_cast<uint2*>(out) = make_uint2(pack_pair<T>(sums.x * factor, sums.y * factor),
                                                pack_pair<T>(sums.z * factor, sums.w * factor));
  }
  __syncwarp();
  cluster_barrier();  // others may still read here
}

template <typename T, typename W>
__device__ void consume(const AttentionWgmmaParams& a, typename W::Shared& shared,
                        const Task& task) {
  constexpr int kDim = W::kDim, kKeys = W::kKeys;
  const AttentionParams& p = a.p;
  const Consumer self;
  const int group = self.group, thread = self.thread, lane = self.lane;
  const int own_row = task.row + group * 64 + thread / 32 * 16 + lane / 4;  // and + 8
  const float scale = p.scale * kLog2E;
  float s[kKeys / 2], o[kDim / 2];
  uint32_t weights[kKeys / 4];
  Running running;

  // Descriptors count in 16 bytes.
  const uint64_t q_operand = wgmma_operand(shared_address(shared.q[0]) + group * 64 * kRowBytes);
  const uint64_t k_operand = wgmma_operand(shared_address(shared.k[0]));
  const uint64_t v_operand = wgmma_operand(shared_address(shared.v[0]), kKeys * kRowBytes);
  const auto multiply_keys = [&](int tile) {
    const uint64_t k = k_operand + tile % W::kStages * (sizeof(shared.k[0]) / 16);
    score_keys<T, kDim, kKeys>(s, q_operand, sizeof(shared.q[0]), k, sizeof(shared.k[0][0]));
  };
  const auto multiply_values = [&](int tile, bool add) {
    const uint64_t v = v_operand + tile % W::kStages * (sizeof(shared.v[0]) / 16);
    weigh_values<T, kDim, kKeys>(o, weights, v, add);
  };
  const auto wait = [&](uint64_t* barriers, int tile) {
    barrier_wait(shared_address(&barriers[tile % W::kStages]), tile / W::kStages % 2);
  };
  const auto release = [&](uint64_t* barriers, int tile) {
    const uint32_t barrier = shared_address(&barriers[tile % W::kStages]);
    if constexpr (W::kMany) {
      if (lane < a.share) barrier_arrive_in(barrier, lane);
    } else if (lane == 0) {
      barrier_arrive(barrier);
    }
  };
  // What no query of the tile, or not every one, sees.
  const auto hide = [&](int tile) {
    const int begin = task.first + tile * kKeys, left = task.keys - begin,
              diagonal = task.diagonal - begin;
    if (left >= kKeys && (!p.causal || diagonal + group * 64 + 1 >= kKeys)) return;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int seen = p.causal ? min(left, own_row - task.row + 8 * h + diagonal + 1) : left;
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          if (8 * j + 2 * (thread % 4) + i >= seen) s[4 * j + 2 * h + i] = -INFINITY;
    }
  };
  const auto score = [&](int j, int e) -> float& { return s[4 * j + e]; };
  const auto narrow = [&] {
#pragma unroll
    for (int j = 0; j < kKeys / 4; ++j) weights[j] = pack_pair<T>(s[2 * j], s[2 * j + 1]);
  };
  // Turns of two groups at the tensor cores; three find their own.
  const auto take_turn = [&] {
    if constexpr (!W::kMany) named_barrier(kTurn + group, 256);
  };
  const auto give_turn = [&] {
    if constexpr (!W::kMany) named_barrier_arrive(kTurn + 1 - group, 256);
  };

  if constexpr (!W::kMany) {
    if (task.tiles == 0) {  // its cluster has more parts than tiles
#pragma unroll
      for (int j = 0; j < kDim / 2; ++j) o[j] = 0;
      return combine<T, W>(p, a.parts, shared, task, o, running, scale);
    }
    if (group == 1) give_turn();
  }
  barrier_wait(shared_address(&shared.q_full), 0);
  float shrink[2];
  wait(shared.k_full, 0);
  multiply_keys(0);
  wgmma_wait<0>();
  wgmma_pin(s);
  release(shared.k_empty, 0);
  hide(0);
  running.take<kKeys / 8>(score, scale, shrink);
  narrow();
  for (int tile = 1; tile < task.tiles; ++tile) {
    wait(shared.k_full, tile);
    wait(shared.v_full, tile - 1);
    take_turn();
    multiply_keys(tile);
    multiply_values(tile - 1, tile > 1);
    give_turn();
    wgmma_wait<1>();
    wgmma_pin(s);
    hide(tile);
    float total[2];
    const bool fits = running.guess<kKeys / 8>(score, scale, total);
    // Also keeps the compiler from waiting for the products with values before the softmax.
    const bool again = named_barrier_any(kVote + group, 128, !fits);
    wgmma_wait<0>();
    wgmma_pin(o);
    if (again) {
      multiply_keys(tile);
      wgmma_wait<0>();
      wgmma_pin(s);
      hide(tile);
      running.take<kKeys / 8>(score, scale, shrink);
#pragma unroll
      for (int j = 0; j < kDim / 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) o[4 * j + e] *= shrink[e / 2];
    } else {
      running.sum[0] += total[0], running.sum[1] += total[1];
    }
    release(shared.k_empty, tile);
    release(shared.v_empty, tile - 1);
    narrow();
  }
  wait(shared.v_full, task.tiles - 1);
  multiply_values(task.tiles - 1, task.tiles > 1);
  wgmma_wait<0>();
  wgmma_pin(o);

  if constexpr (!W::kMany)
    if (a.parts > 1) return combine<T, W>(p, a.parts, shared, task, o, running, scale);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float sum = quad_sum(running.sum[h]);
    const float factor = sum > 0 ? 1.f / sum : 0.f;
    const int64_t row = own_row + 8 * h;
    if (row >= p.queries) continue;
    T* out =
        static_cast<T*>(p.out) + ((task.sample * p.queries + row) * p.heads + task.head) * p.v_dim;
#pragma unroll
    for (int j = 0; j < kDim / 8; ++j)
      if (const int column = 8 * j + 2 * (thread % 4); column < p.v_dim)
        *reinterpret_cast<uint32_t*>(out + column) =
            pack_pair<T>(o[4 * j + 2 * h] * factor, o[4 * j + 2 * h + 1] * factor);
  }
}

// Queries that see nothing.
template <typename T, typename W>
__device__ void write_zeros(const AttentionParams& p, const Task& task) {
  const int64_t rows = min(static_cast<int64_t>(W::kRows), p.queries - task.row);
  for (int i = static_cast<int>(threadIdx.x); i < rows * p.v_dim; i += W::kThreads) {
    const int64_t row = task.row + i / p.v_dim;
    static_cast<T*>(
        p.out)[((task.sample * p.queries + row) * p.heads + task.head) * p.v_dim + i % p.v_dim] =
        from_float<T>(0);
  }
}

template <typename T, typename W>
__global__ void __launch_bounds__(W::kThreads, 1)
    attention_wgmma_kernel(const __grid_constant__ AttentionWgmmaParams a) {
  extern __shared__ __align__(1024) char memory[];
  auto& shared = *reinterpret_cast<typename W::Shared*>(memory);
  wait_for_earlier();
  const Task task(a, {W::kRows, W::kKeys});
  if (task.keys == 0) return write_zeros<T, W>(a.p, task);  // as all of its cluster
  if (threadIdx.x == 0) {
    const int readers = W::kGroups * 4 * a.share;  // warps
    barrier_init(shared_address(&shared.q_full), 1);
    init_stages(shared, readers);
    barrier_init_fence();
  }
  if (a.share > 1)
    cluster_barrier();
  else
    __syncthreads();
  if (threadIdx.x < 128) {
    registers_lower<W::kOtherRegisters>();
    if (threadIdx.x == 0 && task.tiles > 0) produce<W>(a, shared, task);
    __syncwarp();
    if (a.parts > 1) {  // as consumers do
      cluster_barrier();
      cluster_barrier();
    }
  } else {
    registers_raise<W::kOwnRegisters>();
    consume<T, W>(a, shared, task);
  }
  if (a.share > 1) cluster_barrier();  // the other block may still write here
}

template <typename T, AttentionWay kWay>
cudaError_t launch(const AttentionWgmmaParams& a, cudaStream_t stream) {
  using W = Way<kWay>;
  const auto kernel = attention_wgmma_kernel<T, W>;
  constexpr int kBytes = sizeof(typename W::Shared);
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (allowed != cudaSuccess) return allowed;
  const int64_t rows = W::kRows * a.share, cluster = a.parts * a.share;
  const int64_t clusters = (a.p.queries + rows - 1) / rows * a.p.heads * a.p.batch;
  return launch_early(kernel,
                      {.blocks = static_cast<unsigned>(clusters * cluster),
                       .threads = W::kThreads,
                       .shared_bytes = kBytes,
                       .cluster = static_cast<unsigned>(cluster)},
                      stream, a);
}

template <typename T>
cudaError_t launch_way(const AttentionWgmmaParams& a, cudaStream_t stream) {
  switch (a.way) {
#define ZT_CASE(name) \
  case AttentionWay::name: return launch<T, AttentionWay::name>(a, stream);
    ZT_CASE(kFew64)
    ZT_CASE(kFew80)
    ZT_CASE(kFew128)
    ZT_CASE(kMany64)
    ZT_CASE(kMany128)
#undef ZT_CASE
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t attention_wgmma(const AttentionWgmmaParams& a, cudaStream_t stream) {
  if (a.p.batch * a.p.queries * a.p.heads == 0) return cudaSuccess;
  return a.p.dtype == DType::kF16 ? launch_way<__half>(a, stream)
                                  : launch_way<__nv_bfloat16>(a, stream);
}

}  // namespace zoetrope::cuda
