// After FlashAttention-3 (arXiv 2407.08608): a thread asks the copy engine for keys and values; two
// warpgroups have 64 queries each. While one computes its softmax the other multiplies, and within
// each the scores of the next keys are on their way while those of the last are taken into the sum.
// Where queries are few, the blocks of a cluster have parts of the keys and read one another's
// sums.
#include "backends/cuda/kernels/attention.cuh"
#include "backends/cuda/kernels/attention_wgmma.h"
#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/tma.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kRows = kAttentionRows, kStages = 2, kConsumers = 2;
constexpr int kThreads = 128 * (kConsumers + 1);
constexpr int kRowBytes = 128;  // 64 dims of a token
template <int kKeys>
constexpr bool kSplits = kKeys == kAttentionSplitKeys;

template <int kDim, int kKeys>
struct Shared {
  static constexpr int kBoxes = (kDim + 63) / 64;
  char q[kBoxes][kRows * kRowBytes];
  char k[kStages][kBoxes][kKeys * kRowBytes];
  char v[kStages][kBoxes][kKeys * kRowBytes];
  uint64_t q_full, k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
};

// What a block works on.
struct Task {
  int head, kv_head, sample, row;  // its first query
  int keys;                        // that any of its queries sees
  int diagonal;                    // query row + i sees keys up to diagonal + i, where causal
  int part;                        // of the keys
  int first, tiles;                // its first key, and how many tiles of keys it has

  __device__ Task(const AttentionParams& p, int parts, int tile) {
    const int index = static_cast<int>(blockIdx.x) / parts;
    part = static_cast<int>(blockIdx.x) - index * parts;
    const int across = static_cast<int>((p.queries + kRows - 1) / kRows);
    const int rest = index / across;
    row = (index - rest * across) * kRows;
    sample = rest / p.heads;
    head = rest - sample * p.heads;
    kv_head = head / (p.heads / p.kv_heads);
    keys = static_cast<int>(p.keys);
    if (p.lengths != nullptr) keys = max(0, min(keys, p.lengths[sample]));
    diagonal = row + static_cast<int>(p.keys - p.queries);
    if (p.causal) keys = max(0, min(keys, diagonal + kRows));
    const int all = (keys + tile - 1) / tile, before = all * part / parts;
    first = before * tile;
    tiles = all * (part + 1) / parts - before;
  }
};

// Sums that products have written asynchronously may be read from here on.
template <int kCount>
__device__ void pin(float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) wgmma_pin(values[i]);
}

// One thread.
template <int kDim, int kKeys>
__device__ void produce(const AttentionWgmmaParams& a, Shared<kDim, kKeys>& shared,
                        const Task& task) {
  const uint32_t q_full = shared_address(&shared.q_full);
  barrier_expect(q_full, sizeof(shared.q));
#pragma unroll
  for (int part = 0; part < Shared<kDim, kKeys>::kBoxes; ++part)
    tma_load_4d(shared_address(shared.q[part]), &a.q, q_full, part * 64, task.head, task.row,
                task.sample);
  const auto load = [&](const CUtensorMap* map, auto& stages, uint64_t* full, uint64_t* empty,
                        int tile) {
    const int stage = tile % kStages;
    barrier_wait(shared_address(&empty[stage]), tile / kStages % 2 ^ 1);
    const uint32_t barrier = shared_address(&full[stage]);
    barrier_expect(barrier, sizeof(stages[stage]));
#pragma unroll
    for (int part = 0; part < Shared<kDim, kKeys>::kBoxes; ++part)
      tma_load_4d(shared_address(stages[stage][part]), map, barrier, part * 64, task.kv_head,
                  task.first + tile * kKeys, task.sample);
  };
  for (int tile = 0; tile < task.tiles; ++tile) {
    load(&a.k, shared.k, shared.k_full, shared.k_empty, tile);
    if (tile > 0) load(&a.v, shared.v, shared.v_full, shared.v_empty, tile - 1);
  }
  load(&a.v, shared.v, shared.v_full, shared.v_empty, task.tiles - 1);
}

// What a part of the keys gives, for the other blocks of the cluster; in the place of the keys and
// values.
template <int kDim>
struct Partial {
  float sums[kRows][kDim + 4], most[kRows], total[kRows];
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
template <typename T, int kDim, int kKeys>
__device__ void combine(const AttentionParams& p, int parts, Shared<kDim, kKeys>& shared,
                        const Task& task, const float (&o)[kDim / 2], const Running& running,
                        float scale) {
  auto& partial = *reinterpret_cast<Partial<kDim>*>(shared.k);
  static_assert(sizeof(partial) <= sizeof(shared.k) + sizeof(shared.v));
  const int thread = static_cast<int>(threadIdx.x) - 128;
  named_barrier(3, 128 * kConsumers);  // all are done with keys and values
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
  for (int i = thread; i < each * kFours; i += 128 * kConsumers) {
    const int row = task.part * each + i / kFours, column = i % kFours * 4;
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

template <typename T, int kDim, int kKeys>
__device__ void consume(const AttentionParams& p, int parts, Shared<kDim, kKeys>& shared,
                        const Task& task) {
  const int group = threadIdx.x / 128 - 1, thread = threadIdx.x % 128;
  const int own_row = task.row + group * 64 + thread / 32 * 16 + thread % 32 / 4;  // and + 8
  const float scale = p.scale * kLog2E;
  float s[kKeys / 2], o[kDim / 2];
  uint32_t weights[kKeys / 4];
  Running running;

  const auto multiply_keys = [&](int tile) {
    const int stage = tile % kStages;
    wgmma_fence();
#pragma unroll
    for (int part = 0; part < Shared<kDim, kKeys>::kBoxes; ++part) {
      const uint32_t q = shared_address(shared.q[part]) + group * 64 * kRowBytes;
      const uint32_t k = shared_address(shared.k[stage][part]);
#pragma unroll
      for (int step = 0; step < 4 && part * 64 + step * 16 < kDim; ++step)
        Wgmma<T, kKeys>::multiply(s, wgmma_operand(q + step * 32), wgmma_operand(k + step * 32),
                                  part > 0 || step > 0);
    }
    wgmma_commit();
  };
  const auto multiply_values = [&](int tile, bool add) {
    const uint32_t v = shared_address(shared.v[tile % kStages]);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step)
      WgmmaRegisters<T, kDim>::multiply(o, &weights[4 * step],
                                        wgmma_operand(v + step * 2048, kKeys * kRowBytes),
                                        add || step > 0);
    wgmma_commit();
  };
  const auto wait = [&](uint64_t* barriers, int tile) {
    barrier_wait(shared_address(&barriers[tile % kStages]), tile / kStages % 2);
  };
  const auto release = [&](uint64_t* barriers, int tile) {
    if (thread % 32 == 0) barrier_arrive(shared_address(&barriers[tile % kStages]));
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
  // Turns of the two groups at the tensor cores.
  const auto take_turn = [&] { named_barrier(1 + group, 256); };
  const auto give_turn = [&] { named_barrier_arrive(2 - group, 256); };

  if constexpr (kSplits<kKeys>) {
    if (task.tiles == 0) {  // its cluster has more parts than tiles
#pragma unroll
      for (int j = 0; j < kDim / 2; ++j) o[j] = 0;
      return combine<T, kDim, kKeys>(p, parts, shared, task, o, running, scale);
    }
  }
  if (group == 1) named_barrier_arrive(1, 256);
  barrier_wait(shared_address(&shared.q_full), 0);
  float shrink[2];
  wait(shared.k_full, 0);
  multiply_keys(0);
  wgmma_wait<0>();
  pin(s);
  release(shared.k_empty, 0);
  hide(0);
  running.take<kKeys / 8>(score, scale, shrink);
  narrow();
  for (int tile = 1; tile < task.tiles; ++tile) {
    wait(shared.k_full, tile);
    take_turn();
    multiply_keys(tile);
    wait(shared.v_full, tile - 1);
    multiply_values(tile - 1, tile > 1);
    give_turn();
    wgmma_wait<1>();
    pin(s);
    release(shared.k_empty, tile);
    hide(tile);
    running.take<kKeys / 8>(score, scale, shrink);
    wgmma_wait<0>();
    pin(o);
    release(shared.v_empty, tile - 1);
#pragma unroll
    for (int j = 0; j < kDim / 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) o[4 * j + e] *= shrink[e / 2];
    narrow();
  }
  wait(shared.v_full, task.tiles - 1);
  multiply_values(task.tiles - 1, task.tiles > 1);
  wgmma_wait<0>();
  pin(o);

  if constexpr (kSplits<kKeys>)
    if (parts > 1) return combine<T, kDim, kKeys>(p, parts, shared, task, o, running, scale);
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
template <typename T>
__device__ void write_zeros(const AttentionParams& p, const Task& task) {
  const int rows = static_cast<int>(min(static_cast<int64_t>(kRows), p.queries - task.row));
  for (int i = static_cast<int>(threadIdx.x); i < rows * p.v_dim; i += kThreads) {
    const int64_t row = task.row + i / p.v_dim;
    static_cast<T*>(
        p.out)[((task.sample * p.queries + row) * p.heads + task.head) * p.v_dim + i % p.v_dim] =
        from_float<T>(0);
  }
}

template <typename T, int kDim, int kKeys>
__global__ void __launch_bounds__(kThreads, 1)
    attention_wgmma_kernel(const __grid_constant__ AttentionWgmmaParams a) {
  extern __shared__ __align__(1024) char memory[];
  auto& shared = *reinterpret_cast<Shared<kDim, kKeys>*>(memory);
  wait_for_earlier();
  const Task task(a.p, kSplits<kKeys> ? a.parts : 1, kKeys);
  if (task.keys == 0) return write_zeros<T>(a.p, task);
  if (threadIdx.x == 0) {
    barrier_init(shared_address(&shared.q_full), 1);
    for (int s = 0; s < kStages; ++s) {
      barrier_init(shared_address(&shared.k_full[s]), 1);
      barrier_init(shared_address(&shared.v_full[s]), 1);
      barrier_init(shared_address(&shared.k_empty[s]), kConsumers * 4);  // warps
      barrier_init(shared_address(&shared.v_empty[s]), kConsumers * 4);
    }
    barrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    registers_lower<24>();
    if (threadIdx.x == 0 && task.tiles > 0) produce<kDim, kKeys>(a, shared, task);
    if (kSplits<kKeys> && a.parts > 1) {  // as consumers do
      __syncwarp();
      cluster_barrier();
      cluster_barrier();
    }
  } else {
    registers_raise<240>();
    consume<T, kDim, kKeys>(a.p, a.parts, shared, task);
  }
}

template <typename T, int kDim, int kKeys>
cudaError_t launch(const AttentionWgmmaParams& a, cudaStream_t stream) {
  const auto kernel = attention_wgmma_kernel<T, kDim, kKeys>;
  constexpr int kBytes = sizeof(Shared<kDim, kKeys>);
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (allowed != cudaSuccess) return allowed;
  const int64_t blocks = (a.p.queries + kRows - 1) / kRows * a.p.heads * a.p.batch;
  return launch_early(kernel,
                      {.blocks = static_cast<unsigned>(blocks * a.parts),
                       .threads = kThreads,
                       .shared_bytes = kBytes,
                       .cluster = static_cast<unsigned>(a.parts)},
                      stream, a);
}

template <typename T>
cudaError_t launch_tile(const AttentionWgmmaParams& a, cudaStream_t stream) {
  if (a.padded == 64) return launch<T, 64, 128>(a, stream);
  if (a.padded == 80) return launch<T, 80, 128>(a, stream);
  return a.tile == 176 ? launch<T, 128, 176>(a, stream) : launch<T, 128, 128>(a, stream);
}

}  // namespace

cudaError_t attention_wgmma(const AttentionWgmmaParams& a, cudaStream_t stream) {
  if (a.p.batch * a.p.queries * a.p.heads == 0) return cudaSuccess;
  return a.p.dtype == DType::kF16 ? launch_tile<__half>(a, stream)
                                  : launch_tile<__nv_bfloat16>(a, stream);
}

}  // namespace zoetrope::cuda
