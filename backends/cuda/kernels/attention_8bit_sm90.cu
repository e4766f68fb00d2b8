// As attention_wgmma_sm90.cu, in f8e4m3: three warpgroups of 64 queries, whose latencies hide one
// another's. Factors of a row of queries and of a tile of keys go into the exponent. Weights are
// made around a maximum of earlier keys that is put at 8; a tile in which they grow beyond 448 is
// computed again. They go to the tensor cores through shared memory, for want of registers. Tensor
// cores cut off sums of f8e4m3 some 13 bits below the point of the largest, which leans to one side
// as sums grow: after every few tiles they begin at zero, and are added up in f32 in shared memory.
#include <type_traits>

#include "backends/cuda/kernels/attention.cuh"
#include "backends/cuda/kernels/attention_8bit.h"
#include "backends/cuda/kernels/attention_wgmma.cuh"
#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/tma.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kKeys = kAttention8Keys, kGroups = 3, kRows = kAttention8BlockRows, kStages = 2,
              kThreads = 128 * (kGroups + 1);
static_assert(kRows == 64 * kGroups);
constexpr int kVote = 1, kWritten = 4;  // barriers by number, one a group each
constexpr int kTogether = 32;           // tiles whose sums tensor cores add up
constexpr int kOwnRegisters = 160, kOtherRegisters = 32;

template <int kDim>
struct Shared {
  char k[kStages][kKeys * kDim];
  char v[kStages][kDim * kKeys];
  char q[kGroups][64 * kDim];
  char p[kGroups][64 * kKeys];
  float4 sums[kGroups][kDim / 8][128];  // a thread's own
  uint64_t q_full, k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
};

// What a block works on.
struct Task {
  int head, kv_head, sample, row;  // its first query
  int keys;                        // that any of its queries sees
  int diagonal;                    // query row + i sees keys up to diagonal + i, where causal
  int tiles;                       // of keys
  int64_t k_tile;                  // its first of all tiles
  int part = -1;                   // of all parts, where it has a part of the keys

  __device__ explicit Task(const Attention8Params& a) {
    const AttentionParams& p = a.p;
    auto index = static_cast<int>(blockIdx.x);
    const int whole = static_cast<int>(gridDim.x) - a.split_tiles * a.parts;
    if (index >= whole) {
      part = index - whole;
      index = whole + part / a.parts;
    }
    const int across = static_cast<int>((p.queries + kRows - 1) / kRows);
    const int rest = index / across;
    row = (index - rest * across) * kRows;
    sample = rest / p.heads;
    head = rest - sample * p.heads;
    kv_head = head / (p.heads / p.kv_heads);
    k_tile = (int64_t{sample} * p.kv_heads + kv_head) * ((p.keys + kKeys - 1) / kKeys);
    keys = static_cast<int>(p.keys);
    if (p.lengths != nullptr) keys = max(0, min(keys, p.lengths[sample]));
    diagonal = row + static_cast<int>(p.keys - p.queries);
    if (p.causal) keys = max(0, min(keys, diagonal + kRows));
    tiles = (keys + kKeys - 1) / kKeys;
    if (part < 0) return;
    const int all = tiles, own = part % a.parts, first = all * own / a.parts;
    tiles = all * (own + 1) / a.parts - first;
    k_tile += first;
    keys = tiles == 0 ? 0 : keys - first * kKeys;
  }
};

// One thread.
template <int kDim>
__device__ void produce(const Attention8Params& a, Shared<kDim>& shared, const Task& task) {
  constexpr int kPartBytes = kAttention8Rows * kDim;
  const int64_t parts = (a.p.queries + kAttention8Rows - 1) / kAttention8Rows;
  const int64_t first = task.row / kAttention8Rows;
  const auto there = static_cast<int>(max(int64_t{0}, min(int64_t{kGroups}, parts - first)));
  const uint32_t q_full = shared_address(&shared.q_full);
  barrier_expect(q_full, static_cast<uint32_t>(there) * kPartBytes);
  const uint8_t* q =
      a.t.q + ((int64_t{task.sample} * a.p.heads + task.head) * parts + first) * kPartBytes;
  for (int g = 0; g < there; ++g)
    bulk_load(shared_address(shared.q[g]), q + g * kPartBytes, kPartBytes, q_full);
  const auto load = [&](const uint8_t* from, auto& stages, uint64_t* full, uint64_t* empty,
                        int tile) {
    constexpr uint32_t kBytes = kKeys * kDim;
    const int stage = tile % kStages;
    barrier_wait(shared_address(&empty[stage]), tile / kStages % 2 ^ 1);
    const uint32_t barrier = shared_address(&full[stage]), to = shared_address(stages[stage]);
    barrier_expect(barrier, kBytes);
    from += (task.k_tile + tile) * kBytes;
    bulk_load(to, from, kBytes, barrier);
  };
  for (int tile = 0; tile < task.tiles; ++tile) {
    load(a.t.k, shared.k, shared.k_full, shared.k_empty, tile);
    if (tile > 0) load(a.t.v, shared.v, shared.v_full, shared.v_empty, tile - 1);
  }
  load(a.t.v, shared.v, shared.v_full, shared.v_empty, task.tiles - 1);
}

// Four probabilities as f8e4m3.
__device__ uint32_t pack_f8(float a, float b, float c, float d) {
  uint32_t word;
  asm("{\n"
      ".reg .b16 low, high;\n"
      "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
      "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
      "mov.b32 %0, {low, high};\n"
      "}"
      : "=r"(word)
      : "f"(a), "f"(b), "f"(c), "f"(d));
  return word;
}

// What scores are multiplied by. Never 0, which would make no number of a hidden score's −∞:
// products below the least normal number round all scores to 0 either way. NaN stays.
__device__ float score_factor(float q_scale, float k_scale) {
  constexpr float kLeast = 0x1p-126f;
  const float factor = q_scale * k_scale;
  return fabsf(factor) < kLeast ? copysignf(kLeast, factor) : factor;
}

template <typename T, int kDim>
__device__ void consume(const Attention8Params& a, Shared<kDim>& shared, const Task& task) {
  constexpr float kTop = 3;  // log2 of weights of scores that are the maximum
  const AttentionParams& p = a.p;
  const Consumer self;
  const int group = self.group, thread = self.thread, lane = self.lane;
  const int own = thread / 32 * 16 + lane / 4;  // a row of the group's, and + 8
  const int own_row = task.row + group * 64 + own;
  float s[kKeys / 2], o[kDim / 2];
  uint32_t words[2][kKeys / 16];
  float most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};

  // Factors of this thread's rows, in powers of two.
  float q_scale[2];
  {
    const int64_t rows = (p.queries + kAttention8Rows - 1) / kAttention8Rows * kAttention8Rows;
    const float* scales = a.t.q_scale + (int64_t{task.sample} * p.heads + task.head) * rows;
#pragma unroll
    for (int h = 0; h < 2; ++h)
      q_scale[h] = own_row + 8 * h < rows ? scales[own_row + 8 * h] * p.scale * kLog2E : 1.f;
  }
  const float* k_scales = a.t.k_scale + task.k_tile;

  const uint64_t q_operand = wgmma_operand_of<kDim>(shared_address(shared.q[group]));
  const uint64_t k_operand = wgmma_operand_of<kDim>(shared_address(shared.k[0]));
  const uint64_t p_operand = wgmma_operand_of<kKeys>(shared_address(shared.p[group]));
  const uint64_t v_operand = wgmma_operand_of<kKeys>(shared_address(shared.v[0]));
  const auto multiply_keys = [&](int tile) {
    const uint64_t k = k_operand + tile % kStages * (sizeof(shared.k[0]) / 16);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < kDim / 32; ++step)
      Wgmma<Fp8E4M3, kKeys>::multiply(s, q_operand + step * 2, k + step * 2, step > 0);
    wgmma_commit();
  };
  const auto multiply_values = [&](int tile) {
    const uint64_t v = v_operand + tile % kStages * (sizeof(shared.v[0]) / 16);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < kKeys / 32; ++step)
      Wgmma<Fp8E4M3, kDim>::multiply(o, p_operand + step * 2, v + step * 2,
                                     step > 0 || tile % kTogether > 0);
    wgmma_commit();
  };
  const auto wait = [&](uint64_t* barriers, int tile) {
    barrier_wait(shared_address(&barriers[tile % kStages]), tile / kStages % 2);
  };
  const auto release = [&](uint64_t* barriers, int tile) {
    if (lane == 0) barrier_arrive(shared_address(&barriers[tile % kStages]));
  };
  // What a row does not see.
  const auto hide = [&](int tile) {
    const int begin = tile * kKeys, left = task.keys - begin, diagonal = task.diagonal - begin;
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
  // Scores to weights, four a word; whether none is too large for f8e4m3.
  const auto weigh = [&](float k_scale, float(&total)[2]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float scale = score_factor(q_scale[h], k_scale), around = most[h] - kTop;
      float all = 0;
#pragma unroll
      for (int w = 0; w < kKeys / 16; ++w) {
        float x[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          x[i] = exp2_of(fmaf(s[4 * (2 * w + i / 2) + 2 * h + i % 2], scale, -around));
          all += x[i];
        }
        words[h][w] = pack_f8(x[0], x[1], x[2], x[3]);
      }
      total[h] = all;
    }
    // 32 weights of at most 8 are not more.
    return total[0] <= 448.f && total[1] <= 448.f;
  };
  // A look at the maximum, then the same. Rows that have seen nothing keep −∞.
  const auto take = [&](float k_scale, float(&shrink)[2]) {
    bool nothing[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float now = -INFINITY;
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j)
        now = fmaxf(now, fmaxf(s[4 * j + 2 * h], s[4 * j + 2 * h + 1]));
      now = fmaxf(most[h], quad_max(now) * score_factor(q_scale[h], k_scale));
      nothing[h] = now == -INFINITY;
      if (nothing[h]) now = 0;
      shrink[h] = exp2_of(most[h] - now);
      most[h] = now;
    }
    float total[2];
    weigh(k_scale, total);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      sum[h] = sum[h] * shrink[h] + total[h];
      if (nothing[h]) most[h] = -INFINITY;
    }
  };
  // Where the tensor cores read them: 32 neighbours of a row are keys 2·(lane % 4), + 1, + 8, + 9,
  // + 16, ...
  const auto hand_over = [&] {
#pragma unroll
    for (int h = 0; h < 2; ++h)
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int row = own + 8 * h;
        *reinterpret_cast<uint4*>(shared.p[group] + row * kKeys +
                                  ((2 * (lane % 4) + c) ^ (row & 7)) * 16) =
            make_uint4(words[h][4 * c], words[h][4 * c + 1], words[h][4 * c + 2],
                       words[h][4 * c + 3]);
      }
    fence_async_proxy();
    named_barrier(kWritten + group, 128);
  };
  // Sums of the last tiles join those of earlier ones.
  const auto add_up = [&](bool first) {
#pragma unroll
    for (int i = 0; i < kDim / 8; ++i) {
      float4& all = shared.sums[group][i][thread];
      float4 x = make_float4(o[4 * i], o[4 * i + 1], o[4 * i + 2], o[4 * i + 3]);
      if (!first) x.x += all.x, x.y += all.y, x.z += all.z, x.w += all.w;
      all = x;
    }
  };
  const auto shrink_sums = [&](const float(&by)[2], bool earlier) {
#pragma unroll
    for (int i = 0; i < kDim / 2; ++i) o[i] *= by[i % 4 / 2];
    if (!earlier) return;
#pragma unroll
    for (int i = 0; i < kDim / 8; ++i) {
      float4& all = shared.sums[group][i][thread];
      all = make_float4(all.x * by[0], all.y * by[0], all.z * by[1], all.w * by[1]);
    }
  };

  barrier_wait(shared_address(&shared.q_full), 0);
  // Tiles of which every row of the group sees all.
  const int limit = p.causal ? min(task.keys, task.diagonal + group * 64 + 1) : task.keys;
  const int plain = max(limit, 0) / kKeys;
  const auto begin = [&](auto hides) {
    const float k_scale = k_scales[0];
    wait(shared.k_full, 0);
    multiply_keys(0);
    wgmma_wait<0>();
    wgmma_pin(s);
    release(shared.k_empty, 0);
    if constexpr (hides()) hide(0);
    float shrink[2];
    take(k_scale, shrink);
    hand_over();
  };
  const auto go_on = [&](int tile, auto hides) {
    const float k_scale = k_scales[tile];
    wait(shared.k_full, tile);
    wait(shared.v_full, tile - 1);
    multiply_keys(tile);
    multiply_values(tile - 1);
    wgmma_wait<1>();
    wgmma_pin(s);
    if constexpr (hides()) hide(tile);
    float total[2];
    const bool fits = weigh(k_scale, total);
    // Also keeps the compiler from waiting for the products with values before the softmax.
    const bool again = named_barrier_any(kVote + group, 128, !fits);
    wgmma_wait<0>();
    wgmma_pin(o);
    release(shared.v_empty, tile - 1);
    if (tile % kTogether == 0) add_up(tile == kTogether);
    if (again) {
      multiply_keys(tile);
      wgmma_wait<0>();
      wgmma_pin(s);
      if constexpr (hides()) hide(tile);
      float shrink[2];
      take(k_scale, shrink);
      shrink_sums(shrink, tile >= kTogether);
    } else {
      sum[0] += total[0], sum[1] += total[1];
    }
    release(shared.k_empty, tile);
    hand_over();
  };
  if (plain > 0)
    begin(std::false_type());
  else
    begin(std::true_type());
  int tile = 1;
  for (; tile < min(plain, task.tiles); ++tile) go_on(tile, std::false_type());
  for (; tile < task.tiles; ++tile) go_on(tile, std::true_type());
  wait(shared.v_full, task.tiles - 1);
  multiply_values(task.tiles - 1);
  wgmma_wait<0>();
  wgmma_pin(o);

  const auto summed = [&](int j) {
    float4 x = make_float4(o[4 * j], o[4 * j + 1], o[4 * j + 2], o[4 * j + 3]);
    if (task.tiles > kTogether) {
      const float4 all = shared.sums[group][j][thread];
      x.x += all.x, x.y += all.y, x.z += all.z, x.w += all.w;
    }
    return x;
  };
  if (task.part >= 0) {
    const int64_t first = int64_t{task.part} * kRows + group * 64 + own;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float all = quad_sum(sum[h]);
      if (lane % 4 != 0) continue;
      a.t.part_most[first + 8 * h] = most[h];
      a.t.part_total[first + 8 * h] = all;
    }
#pragma unroll
    for (int j = 0; j < kDim / 8; ++j) {
      const float4 x = summed(j);
      float* to = a.t.part_sums + first * kDim + 8 * j + 2 * (thread % 4);
      *reinterpret_cast<float2*>(to) = make_float2(x.x, x.y);
      *reinterpret_cast<float2*>(to + 8 * kDim) = make_float2(x.z, x.w);
    }
    return;
  }
  const int64_t kv_head = int64_t{task.sample} * p.kv_heads + task.kv_head;
  const float *mean = a.t.v_mean + kv_head * kDim, *v_scale = a.t.v_scale + kv_head * kDim;
  float factor[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float all = quad_sum(sum[h]);
    factor[h] = all == 0 ? 0 : 1.f / all;  // 0: the row sees nothing
  }
#pragma unroll
  for (int j = 0; j < kDim / 8; ++j) {
    const int column = 8 * j + 2 * (thread % 4);
    if (column >= p.v_dim) continue;
    const float4 x = summed(j);
    const float2 scale = *reinterpret_cast<const float2*>(v_scale + column),
                 around = *reinterpret_cast<const float2*>(mean + column);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int64_t row = own_row + 8 * h;
      if (row >= p.queries) continue;
      const float2 y = h == 0 ? make_float2(x.x, x.y) : make_float2(x.z, x.w);
      const bool seen = factor[h] != 0;
      T* out = static_cast<T*>(p.out) +
               ((task.sample * p.queries + row) * p.heads + task.head) * p.v_dim + column;
      *reinterpret_cast<uint32_t*>(out) =
          pack_pair<T>(y.x * scale.x * factor[h] + (seen ? around.x : 0.f),
                       y.y * scale.y * factor[h] + (seen ? around.y : 0.f));
    }
  }
}

// Queries that see nothing.
template <typename T>
__device__ void write_zeros(const AttentionParams& p, const Task& task) {
  const int64_t rows = min(static_cast<int64_t>(kRows), p.queries - task.row);
  for (int i = static_cast<int>(threadIdx.x); i < rows * p.v_dim; i += kThreads) {
    const int64_t row = task.row + i / p.v_dim;
    static_cast<T*>(
        p.out)[((task.sample * p.queries + row) * p.heads + task.head) * p.v_dim + i % p.v_dim] =
        from_float<T>(0);
  }
}

template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads, 1)
    attention_8bit_kernel(const __grid_constant__ Attention8Params a) {
  extern __shared__ __align__(1024) char memory[];
  auto& shared = *reinterpret_cast<Shared<kDim>*>(memory);
  wait_for_earlier();
  const Task task(a);
  if (task.keys == 0) {
    if (task.part < 0) return write_zeros<T>(a.p, task);
    for (int i = static_cast<int>(threadIdx.x); i < kRows; i += kThreads)
      a.t.part_most[int64_t{task.part} * kRows + i] = -INFINITY;
    return;
  }
  if (threadIdx.x == 0) {
    constexpr int kReaders = kGroups * 4;  // warps
    barrier_init(shared_address(&shared.q_full), 1);
    init_stages(shared, kReaders);
    barrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    registers_lower<kOtherRegisters>();
    if (threadIdx.x == 0) produce<kDim>(a, shared, task);
  } else {
    registers_raise<kOwnRegisters>();
    consume<T, kDim>(a, shared, task);
  }
}

template <typename T, int kDim>
cudaError_t launch(const Attention8Params& a, cudaStream_t stream) {
  const auto kernel = attention_8bit_kernel<T, kDim>;
  constexpr int kBytes = sizeof(Shared<kDim>);
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (allowed != cudaSuccess) return allowed;
  const int64_t blocks = (a.p.queries + kRows - 1) / kRows * a.p.heads * a.p.batch +
                         int64_t{a.split_tiles} * (a.parts - 1);
  return launch_early(
      kernel,
      {.blocks = static_cast<unsigned>(blocks), .threads = kThreads, .shared_bytes = kBytes},
      stream, a);
}

template <typename T>
cudaError_t launch_dims(const Attention8Params& a, cudaStream_t stream) {
  return attention_8bit_dims(a.p.dim) == 64 ? launch<T, 64>(a, stream) : launch<T, 128>(a, stream);
}

}  // namespace

cudaError_t attention_8bit_wgmma(const Attention8Params& a, cudaStream_t stream) {
  if (a.p.batch * a.p.queries * a.p.heads == 0) return cudaSuccess;
  return a.p.dtype == DType::kF16 ? launch_dims<__half>(a, stream)
                                  : launch_dims<__nv_bfloat16>(a, stream);
}

}  // namespace zoetrope::cuda
