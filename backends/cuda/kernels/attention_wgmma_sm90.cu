// After FlashAttention-3 (arXiv 2407.08608): a thread asks the copy engine for keys and values; two
// warpgroups have 64 queries each. While one computes its softmax the other multiplies, and within
// each the scores of the next keys are on their way while those of the last are taken into the sum.
#include "backends/cuda/kernels/attention_wgmma.h"
#include "backends/cuda/kernels/common.cuh"
#include "backends/cuda/kernels/tma.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kRows = kAttentionRows, kStages = 2, kConsumers = 2;
constexpr int kThreads = 128 * (kConsumers + 1);
constexpr int kRowBytes = 128;  // 64 dims of a token

template <int kDim, int kKeys>
struct Shared {
  char q[kDim / 64][kRows * kRowBytes];
  char k[kStages][kDim / 64][kKeys * kRowBytes];
  char v[kStages][kDim / 64][kKeys * kRowBytes];
  uint64_t q_full, k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
};

// What a block works on.
struct Task {
  int head, kv_head, sample, row;  // its first query
  int keys;                        // that any of its queries sees
  int diagonal;                    // query row + i sees keys up to diagonal + i, where causal
  int tiles;

  __device__ Task(const AttentionParams& p, int tile) {
    const int across = static_cast<int>((p.queries + kRows - 1) / kRows);
    const int rest = static_cast<int>(blockIdx.x) / across;
    row = (static_cast<int>(blockIdx.x) - rest * across) * kRows;
    sample = rest / p.heads;
    head = rest - sample * p.heads;
    kv_head = head / (p.heads / p.kv_heads);
    keys = static_cast<int>(p.keys);
    if (p.lengths != nullptr) keys = max(0, min(keys, p.lengths[sample]));
    diagonal = row + static_cast<int>(p.keys - p.queries);
    if (p.causal) keys = max(0, min(keys, diagonal + kRows));
    tiles = (keys + tile - 1) / tile;
  }
};

__device__ float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Sums that products have written asynchronously may be read from here on.
template <int kCount>
__device__ void pin(float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) wgmma_pin(values[i]);
}

template <typename T>
__device__ uint32_t pair_of(float low, float high);
template <>
__device__ uint32_t pair_of<__half>(float low, float high) {
  const __half2 both = __floats2half2_rn(low, high);
  return reinterpret_cast<const uint32_t&>(both);
}
template <>
__device__ uint32_t pair_of<__nv_bfloat16>(float low, float high) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const uint32_t&>(both);
}

// One thread.
template <int kDim, int kKeys>
__device__ void produce(const AttentionWgmmaParams& a, Shared<kDim, kKeys>& shared,
                        const Task& task) {
  const uint32_t q_full = shared_address(&shared.q_full);
  barrier_expect(q_full, sizeof(shared.q));
#pragma unroll
  for (int part = 0; part < kDim / 64; ++part)
    tma_load_4d(shared_address(shared.q[part]), &a.q, q_full, part * 64, task.head, task.row,
                task.sample);
  const auto load = [&](const CUtensorMap* map, auto& stages, uint64_t* full, uint64_t* empty,
                        int tile) {
    const int stage = tile % kStages;
    barrier_wait(shared_address(&empty[stage]), tile / kStages % 2 ^ 1);
    const uint32_t barrier = shared_address(&full[stage]);
    barrier_expect(barrier, sizeof(stages[stage]));
#pragma unroll
    for (int part = 0; part < kDim / 64; ++part)
      tma_load_4d(shared_address(stages[stage][part]), map, barrier, part * 64, task.kv_head,
                  tile * kKeys, task.sample);
  };
  for (int tile = 0; tile < task.tiles; ++tile) {
    load(&a.k, shared.k, shared.k_full, shared.k_empty, tile);
    if (tile > 0) load(&a.v, shared.v, shared.v_full, shared.v_empty, tile - 1);
  }
  load(&a.v, shared.v, shared.v_full, shared.v_empty, task.tiles - 1);
}

// The running maximum and sum of a thread's two rows; the sum is of its own columns.
struct Running {
  float most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};

  // Scores become weights; returns by what earlier sums shrink.
  template <int kCount>
  __device__ void take(float (&s)[kCount], float scale, float (&shrink)[2]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float now = most[h];
#pragma unroll
      for (int j = 0; j < kCount / 4; ++j)
        now = fmaxf(now, fmaxf(s[4 * j + 2 * h], s[4 * j + 2 * h + 1]));
      now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 1));
      now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
      const float around = now == -INFINITY ? 0 : now * scale;
      shrink[h] = exp2_of(most[h] * scale - around);
      most[h] = now;
      float total = 0;
#pragma unroll
      for (int j = 0; j < kCount / 4; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& x = s[4 * j + 2 * h + i];
          x = exp2_of(fmaf(x, scale, -around));
          total += x;
        }
      sum[h] = sum[h] * shrink[h] + total;
    }
  }
};

template <typename T, int kDim, int kKeys>
__device__ void consume(const AttentionParams& p, Shared<kDim, kKeys>& shared, const Task& task) {
  const int group = threadIdx.x / 128 - 1, thread = threadIdx.x % 128;
  const int own_row = task.row + group * 64 + thread / 32 * 16 + thread % 32 / 4;  // and + 8
  const float scale = p.scale * 1.4426950408889634f;
  float s[kKeys / 2], o[kDim / 2];
  uint32_t weights[kKeys / 4];
  Running running;

  const auto multiply_keys = [&](int tile) {
    const int stage = tile % kStages;
    wgmma_fence();
#pragma unroll
    for (int part = 0; part < kDim / 64; ++part) {
      const uint32_t q = shared_address(shared.q[part]) + group * 64 * kRowBytes;
      const uint32_t k = shared_address(shared.k[stage][part]);
#pragma unroll
      for (int step = 0; step < 4; ++step)
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
    const int begin = tile * kKeys, left = task.keys - begin, diagonal = task.diagonal - begin;
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
  const auto narrow = [&] {
#pragma unroll
    for (int j = 0; j < kKeys / 4; ++j) weights[j] = pair_of<T>(s[2 * j], s[2 * j + 1]);
  };
  // Turns of the two groups at the tensor cores.
  const auto take_turn = [&] { named_barrier(1 + group, 256); };
  const auto give_turn = [&] { named_barrier_arrive(2 - group, 256); };

  if (group == 1) named_barrier_arrive(1, 256);
  barrier_wait(shared_address(&shared.q_full), 0);
  float shrink[2];
  wait(shared.k_full, 0);
  multiply_keys(0);
  wgmma_wait<0>();
  pin(s);
  release(shared.k_empty, 0);
  hide(0);
  running.take(s, scale, shrink);
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
    running.take(s, scale, shrink);
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

#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float sum = running.sum[h];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    const float factor = sum > 0 ? 1.f / sum : 0.f;
    const int64_t row = own_row + 8 * h;
    if (row >= p.queries) continue;
    T* out =
        static_cast<T*>(p.out) + ((task.sample * p.queries + row) * p.heads + task.head) * p.v_dim;
#pragma unroll
    for (int j = 0; j < kDim / 8; ++j)
      if (const int column = 8 * j + 2 * (thread % 4); column < p.v_dim)
        *reinterpret_cast<uint32_t*>(out + column) =
            pair_of<T>(o[4 * j + 2 * h] * factor, o[4 * j + 2 * h + 1] * factor);
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
  const Task task(a.p, kKeys);
  if (task.tiles == 0) return write_zeros<T>(a.p, task);
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
    if (threadIdx.x == 0) produce<kDim, kKeys>(a, shared, task);
  } else {
    registers_raise<240>();
    consume<T, kDim, kKeys>(a.p, shared, task);
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
  kernel<<<static_cast<unsigned>(blocks), kThreads, kBytes, stream>>>(a);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_tile(const AttentionWgmmaParams& a, cudaStream_t stream) {
  if (a.padded == 64) return launch<T, 64, 128>(a, stream);
  return a.tile == 176 ? launch<T, 128, 176>(a, stream) : launch<T, 128, 128>(a, stream);
}

}  // namespace

cudaError_t attention_wgmma(const AttentionWgmmaParams& a, cudaStream_t stream) {
  if (a.p.batch * a.p.queries * a.p.heads == 0) return cudaSuccess;
  return a.p.dtype == DType::kF16 ? launch_tile<__half>(a, stream)
                                  : launch_tile<__nv_bfloat16>(a, stream);
}

}  // namespace zoetrope::cuda
