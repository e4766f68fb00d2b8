// Many queries that see few keys, as of a text. Tiles as in attention_wgmma_sm90.cu, but blocks
// stay and take tile after tile of queries: a tile of few keys is over before what begins and ends
// it is paid for. The next tile's queries are on their way meanwhile, and its first scores are
// multiplied together with the last values of the one before.
#include "backends/cuda/kernels/attention.cuh"
#include "backends/cuda/kernels/attention_wgmma.cuh"
#include "backends/cuda/kernels/attention_wgmma.h"
#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/tma.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kRowBytes = 128;  // 64 dims of a token
constexpr int kRows = kFewKeysTile.rows, kKeys = kFewKeysTile.keys, kGroups = kRows / 64;
constexpr int kThreads = 128 * (kGroups + 1), kStages = 4;
constexpr int kOwnRegisters = 160, kOtherRegisters = 32;
constexpr int kVote = 1;  // barriers by number, one a group

template <int kDim>
struct Shared {
  static constexpr int kBoxes = kDim / 64;
  char q[2][kBoxes][kRows * kRowBytes];
  char k[kStages][kBoxes][kKeys * kRowBytes];
  char v[kStages][kBoxes][kKeys * kRowBytes];
  uint64_t q_full[2], q_empty[2];
  uint64_t k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
};

// A tile of queries of one head. Heads are innermost: their rows lie side by side.
struct Task {
  int head, kv_head, sample, row;  // its first query
  int keys, tiles;                 // of keys, at least one

  __device__ Task(const AttentionParams& p, int index) {
    head = index % p.heads;
    const int rest = index / p.heads, across = static_cast<int>((p.queries + kRows - 1) / kRows);
    sample = rest / across;
    row = (rest - sample * across) * kRows;
    kv_head = head / (p.heads / p.kv_heads);
    keys = static_cast<int>(p.keys);
    if (p.lengths != nullptr) keys = max(0, min(keys, p.lengths[sample]));
    tiles = max(1, (keys + kKeys - 1) / kKeys);
  }
};

__host__ __device__ int64_t task_count(const AttentionParams& p) {
  return (p.queries + kRows - 1) / kRows * p.heads * p.batch;
}

// One thread.
template <int kDim>
__device__ void produce(const AttentionWgmmaParams& a, Shared<kDim>& shared) {
  constexpr int kBoxes = Shared<kDim>::kBoxes;
  const auto tasks = static_cast<int>(task_count(a.p));
  int at = 0, turn = 0;  // tiles of keys, and tasks
  for (int index = static_cast<int>(blockIdx.x); index < tasks; index += gridDim.x, ++turn) {
    const Task task(a.p, index);
    const int slot = turn % 2;
    const uint32_t q_full = shared_address(&shared.q_full[slot]);
    barrier_wait(shared_address(&shared.q_empty[slot]), turn / 2 % 2 ^ 1);
    barrier_expect(q_full, sizeof(shared.q[0]));
#pragma unroll
    for (int box = 0; box < kBoxes; ++box)
      tma_load_4d(shared_address(shared.q[slot][box]), &a.q, q_full, box * 64, task.head, task.row,
                  task.sample);
    const auto load = [&](const CUtensorMap* map, auto& stages, uint64_t* full, uint64_t* empty,
                          int token) {
      const int stage = at % kStages;
      barrier_wait(shared_address(&empty[stage]), at / kStages % 2 ^ 1);
      const uint32_t barrier = shared_address(&full[stage]);
      barrier_expect(barrier, sizeof(stages[stage]));
#pragma unroll
      for (int box = 0; box < kBoxes; ++box)
        tma_load_4d(shared_address(stages[stage][box]), map, barrier, box * 64, task.kv_head, token,
                    task.sample);
    };
    for (int tile = 0; tile < task.tiles; ++tile, ++at) {
      load(&a.k, shared.k, shared.k_full, shared.k_empty, tile * kKeys);
      load(&a.v, shared.v, shared.v_full, shared.v_empty, tile * kKeys);
    }
  }
}

// Thread i of four neighbours has word i of each of four; afterwards all words of the i-th.
__device__ uint4 quad_transpose(uint32_t (&w)[4], int lane) {
#pragma unroll
  for (int apart = 1; apart <= 2; apart *= 2)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int low = apart == 1 ? 2 * i : i, high = low + apart;
      const bool upper = (lane & apart) != 0;
      const uint32_t other = __shfl_xor_sync(~0u, upper ? w[low] : w[high], apart);
      (upper ? w[low] : w[high]) = other;
    }
  return make_uint4(w[0], w[1], w[2], w[3]);
}

template <typename T, int kDim>
__device__ void consume(const AttentionWgmmaParams& a, Shared<kDim>& shared) {
  const AttentionParams& p = a.p;
  const Consumer self;
  const int group = self.group, thread = self.thread, lane = self.lane;
  const float scale = p.scale * kLog2E;
  float s[kKeys / 2], o[kDim / 2];
  uint32_t weights[kKeys / 4];
  Running running;

  // Descriptors count in 16 bytes.
  const uint64_t q_operand = wgmma_operand(shared_address(shared.q[0]) + group * 64 * kRowBytes);
  const uint64_t k_operand = wgmma_operand(shared_address(shared.k[0]));
  const uint64_t v_operand = wgmma_operand(shared_address(shared.v[0]), kKeys * kRowBytes);
  const auto multiply_keys = [&](int at, int slot) {
    const uint64_t q = q_operand + slot * (sizeof(shared.q[0]) / 16),
                   k = k_operand + at % kStages * (sizeof(shared.k[0]) / 16);
    score_keys<T, kDim, kKeys>(s, q, sizeof(shared.q[0][0]), k, sizeof(shared.k[0][0]));
  };
  const auto multiply_values = [&](int at, bool add) {
    const uint64_t v = v_operand + at % kStages * (sizeof(shared.v[0]) / 16);
    weigh_values<T, kDim, kKeys>(o, weights, v, add);
  };
  const auto wait = [&](uint64_t* barriers, int at) {
    barrier_wait(shared_address(&barriers[at % kStages]), at / kStages % 2);
  };
  const auto release = [&](uint64_t& barrier) {
    if (lane == 0) barrier_arrive(shared_address(&barrier));
  };
  const auto hide = [&](int left) {  // all but the first keys
    if (left >= kKeys) return;
#pragma unroll
    for (int j = 0; j < kKeys / 2; ++j)
      if (j / 4 * 8 + 2 * (thread % 4) + j % 2 >= left) s[j] = -INFINITY;
  };
  const auto score = [&](int j, int e) -> float& { return s[4 * j + e]; };
  const auto narrow = [&] {
#pragma unroll
    for (int j = 0; j < kKeys / 4; ++j) weights[j] = pack_pair<T>(s[2 * j], s[2 * j + 1]);
  };
  const auto write = [&](int index, const float(&sums)[2]) {
    const Task task(p, index);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float sum = quad_sum(sums[h]), factor = sum > 0 ? 1.f / sum : 0.f;
      const int64_t row = task.row + group * 64 + thread / 32 * 16 + lane / 4 + 8 * h;
      T* out = static_cast<T*>(p.out) +
               ((task.sample * p.queries + row) * p.heads + task.head) * p.v_dim;
#pragma unroll
      for (int j = 0; j < kDim / 8; j += 4) {
        uint32_t words[4];
#pragma unroll
        for (int w = 0; w < 4; ++w) {
          const float* x = &o[4 * (j + w) + 2 * h];
          words[w] = task.keys > 0 ? pack_pair<T>(x[0] * factor, x[1] * factor) : 0;
        }
        const uint4 eight = quad_transpose(words, lane);
        const int column = 8 * (j + lane % 4);
        if (row < p.queries && column < p.v_dim) *reinterpret_cast<uint4*>(out + column) = eight;
      }
    }
  };

  const auto tasks = static_cast<int>(task_count(p));
  auto index = static_cast<int>(blockIdx.x);
  int keys = Task(p, index).keys, tiles = Task(p, index).tiles;
  int at = 0, tile = 0, slot = 0, turn = 0;  // `at` counts tiles of keys, `tile` those of a task
  float shrink[2];
  barrier_wait(shared_address(&shared.q_full[0]), 0);
  wait(shared.k_full, 0);
  multiply_keys(0, 0);
  wgmma_wait<0>();
  wgmma_pin(s);
  release(shared.k_empty[0]);
  if (tiles == 1) release(shared.q_empty[0]);
  hide(keys);
  running.take<kKeys / 8>(score, scale, shrink);
  narrow();
  while (true) {
    const float sums[2] = {running.sum[0], running.sum[1]};
    const bool add = tile > 0, ended = ++tile == tiles;
    if (ended) {
      if (index + static_cast<int>(gridDim.x) >= tasks) break;
      index += static_cast<int>(gridDim.x);
      const Task task(p, index);
      keys = task.keys, tiles = task.tiles;
      tile = 0;
      slot = ++turn % 2;
      barrier_wait(shared_address(&shared.q_full[slot]), turn / 2 % 2);
      running = Running();
    }
    ++at;
    wait(shared.k_full, at);
    wait(shared.v_full, at - 1);
    multiply_keys(at, slot);
    multiply_values(at - 1, add);
    wgmma_wait<1>();
    wgmma_pin(s);
    hide(keys - tile * kKeys);
    float total[2] = {0, 0};
    bool fits;
    if (ended) {
      running.take<kKeys / 8>(score, scale, shrink);
      fits = running.sum[0] + running.sum[1] >= 0;
    } else {
      fits = running.guess<kKeys / 8>(score, scale, total);
    }
    // Also keeps the compiler from waiting for the products with values before the softmax.
    const bool again = named_barrier_any(kVote + group, 128, !fits) && !ended;
    wgmma_wait<0>();
    wgmma_pin(o);
    if (ended) {
      write(index - static_cast<int>(gridDim.x), sums);
    } else if (again) {
      multiply_keys(at, slot);
      wgmma_wait<0>();
      wgmma_pin(s);
      hide(keys - tile * kKeys);
      running.take<kKeys / 8>(score, scale, shrink);
#pragma unroll
      for (int j = 0; j < kDim / 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) o[4 * j + e] *= shrink[e / 2];
    } else {
      running.sum[0] += total[0], running.sum[1] += total[1];
    }
    release(shared.k_empty[at % kStages]);
    release(shared.v_empty[(at - 1) % kStages]);
    if (tile + 1 == tiles) release(shared.q_empty[slot]);
    narrow();
  }
  wait(shared.v_full, at);
  multiply_values(at, tiles > 1);
  wgmma_wait<0>();
  wgmma_pin(o);
  write(index, running.sum);
}

template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads, 1)
    attention_few_keys_kernel(const __grid_constant__ AttentionWgmmaParams a) {
  extern __shared__ __align__(1024) char memory[];
  auto& shared = *reinterpret_cast<Shared<kDim>*>(memory);
  if (threadIdx.x == 0) {
    constexpr int kReaders = kGroups * 4;  // warps
    for (int s = 0; s < 2; ++s) {
      barrier_init(shared_address(&shared.q_full[s]), 1);
      barrier_init(shared_address(&shared.q_empty[s]), kReaders);
    }
    init_stages(shared, kReaders);
    barrier_init_fence();
  }
  wait_for_earlier();
  __syncthreads();
  if (threadIdx.x < 128) {
    registers_lower<kOtherRegisters>();
    if (threadIdx.x == 0) produce<kDim>(a, shared);
  } else {
    registers_raise<kOwnRegisters>();
    consume<T, kDim>(a, shared);
  }
}

template <typename T, int kDim>
cudaError_t launch(const AttentionWgmmaParams& a, int multiprocessors, cudaStream_t stream) {
  const auto kernel = attention_few_keys_kernel<T, kDim>;
  constexpr int kBytes = sizeof(Shared<kDim>);
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (allowed != cudaSuccess) return allowed;
  const int64_t tasks = task_count(a.p);
  if (tasks > INT32_MAX - multiprocessors) return cudaErrorInvalidValue;
  return launch_early(kernel,
                      {.blocks = static_cast<unsigned>(min(tasks, int64_t{multiprocessors})),
                       .threads = kThreads,
                       .shared_bytes = kBytes},
                      stream, a);
}

template <typename T>
cudaError_t launch_dims(const AttentionWgmmaParams& a, int multiprocessors, cudaStream_t stream) {
  return a.p.dim <= 64 ? launch<T, 64>(a, multiprocessors, stream)
                       : launch<T, 128>(a, multiprocessors, stream);
}

}  // namespace

cudaError_t attention_few_keys(const AttentionWgmmaParams& a, int multiprocessors,
                               cudaStream_t stream) {
  if (a.p.batch * a.p.queries * a.p.heads == 0) return cudaSuccess;
  return a.p.dtype == DType::kF16 ? launch_dims<__half>(a, multiprocessors, stream)
                                  : launch_dims<__nv_bfloat16>(a, multiprocessors, stream);
}

}  // namespace zoetrope::cuda
