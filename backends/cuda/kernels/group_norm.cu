#include "backends/cuda/kernels/group_norm.h"

#include <algorithm>
#include <type_traits>

#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/launch.cuh"

namespace zoetrope::cuda {
namespace {

// Of `count` values: the mean, which is mean + rest, and the sum of squares around it. One float
// rounds away what 1/√(variance + ε) multiplies where values lie close together and far from zero.
struct Moments {
  float count, mean, rest, squares;
};

// Chan, Golub and LeVeque 1979, eq. 2.1.
__device__ Moments merged(const Moments& a, const Moments& b) {
  if (b.count == 0) return a;
  if (a.count == 0) return b;
  const float count = a.count + b.count;
  const float delta = (b.mean - a.mean) + (b.rest - a.rest), part = b.count / count;
  const float step = a.rest + delta * part, mean = a.mean + step;
  return {count, mean, step - (mean - a.mean),
          a.squares + b.squares + delta * delta * a.count * part};
}

// As they lie in the workspace.
__device__ float4 packed(const Moments& m) { return {m.mean, m.rest, m.squares, m.count}; }
__device__ Moments unpacked(const float4& v) { return {v.w, v.x, v.y, v.z}; }

// Blocks have `tile` columns of chunks each and take `abreast` positions at once; those of a sample
// go through its positions together, so that memory is read in order.
struct GroupLayout {
  int64_t columns, part;  // chunks of a position, and of a group
  int64_t blocks;         // of a sample, `tiles` thread blocks each
  int tile, abreast, tiles;
  int fold;  // columns of a group that a block merges: 1 to 8
  constexpr int64_t parts() const { return blocks * (columns / fold); }  // of a sample
};

constexpr int kGroupThreads = 256, kGroupRows = 4, kCombineThreads = 256;

// Where a thread of a tile stands.
struct GroupPlace {
  int64_t sample, block, column, first, step;  // positions from `first` on
  int slot, within;                            // of the thread in its block, and among columns
  bool live;

  __device__ explicit GroupPlace(const GroupLayout& g) {
    const int64_t which = blockIdx.x / g.tiles;
    sample = which / g.blocks;
    block = which - sample * g.blocks;
    slot = static_cast<int>(threadIdx.x) / g.tile;
    within = static_cast<int>(threadIdx.x) - slot * g.tile;
    column = static_cast<int64_t>(blockIdx.x % g.tiles) * g.tile + within;
    first = block * g.abreast + slot;
    step = g.blocks * g.abreast;
    live = slot < g.abreast && column < g.columns;
  }
};

// Moments of `fold` columns over a block's positions: [batch, blocks, columns / fold].
template <typename T, int N>
__global__ void __launch_bounds__(kGroupThreads, 4)
    group_parts_kernel(const GroupNormParams p, const GroupLayout g) {
  using Word = typename Raw<N * sizeof(T)>::Type;
  wait_for_earlier();
  launch_next();
  const GroupPlace at(g);
  Moments m{0, 0, 0, 0};
  if (at.live && at.first < p.positions) {
    const T* x =
        static_cast<const T*>(p.x) + (at.sample * p.positions + at.first) * p.width + at.column * N;
    const int64_t step = at.step * p.width;
    // Sums around the first value keep their digits.
    const float around = to_float(*x);
    float sum = 0, squares = 0;
    const auto add = [&](const float(&v)[N]) {
#pragma unroll
      for (int e = 0; e < N; ++e) {
        const float d = v[e] - around;
        sum += d;
        squares += d * d;
      }
      m.count += N;
    };
    int64_t i = at.first;
    for (; i + (kGroupRows - 1) * at.step < p.positions; i += kGroupRows * at.step) {
      Word rows[kGroupRows];
#pragma unroll
      for (int k = 0; k < kGroupRows; ++k) rows[k] = *reinterpret_cast<const Word*>(x + k * step);
      x += kGroupRows * step;
#pragma unroll
      for (int k = 0; k < kGroupRows; ++k) {
        float v[N];
        unpack_word<T, N>(rows[k], v);
        add(v);
      }
    }
    for (; i < p.positions; i += at.step, x += step) {
      float v[N];
      load_chunk(x, v);
      add(v);
    }
    m.mean = around;
    m.rest = sum / m.count;
    m.squares = fmaxf(squares - sum * m.rest, 0.f);
  }
  __shared__ Moments all[kGroupThreads];
  all[threadIdx.x] = m;
  __syncthreads();
  const bool leads = at.live && at.slot == 0;
  for (int s = 1; leads && s < g.abreast; ++s) m = merged(m, all[at.within + s * g.tile]);
  __syncthreads();
  all[threadIdx.x] = m;
  __syncthreads();
  if (!leads || at.within % g.fold != 0) return;
  for (int f = 1; f < g.fold; ++f) m = merged(m, all[at.within + f]);
  reinterpret_cast<float4*>(
      p.workspace)[at.sample * g.parts() + at.block * (g.columns / g.fold) + at.column / g.fold] =
      packed(m);
}

// Mean, rest and 1/√(variance + ε) of each group: [batch, groups, 4] behind the parts.
__global__ void __launch_bounds__(kCombineThreads)
    group_combine_kernel(const GroupNormParams p, const GroupLayout g) {
  wait_for_earlier();
  launch_next();
  const int64_t sample = blockIdx.x / p.groups, group = blockIdx.x % p.groups;
  const int width = static_cast<int>(g.part / g.fold);  // parts of the group in a block's row
  const float4* parts =
      reinterpret_cast<const float4*>(p.workspace) + sample * g.parts() + group * width;
  Moments m{0, 0, 0, 0};
  const int count = static_cast<int>(g.blocks) * width;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kCombineThreads)
    m = merged(m, unpacked(parts[i / width * (g.columns / g.fold) + i % width]));
  __shared__ Moments all[kCombineThreads];
  all[threadIdx.x] = m;
  for (int half = kCombineThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < half)
      all[threadIdx.x] = merged(all[threadIdx.x], all[threadIdx.x + half]);
  }
  if (threadIdx.x != 0) return;
  m = all[0];
  m.squares = 1.f / sqrtf(m.squares / m.count + p.epsilon);
  reinterpret_cast<float4*>(p.workspace)[p.batch * g.parts() + blockIdx.x] = packed(m);
}

// From the last position on, which caches may still have from the parts.
template <typename T, int N>
__global__ void __launch_bounds__(kGroupThreads, 4)
    group_apply_kernel(const GroupNormParams p, const GroupLayout g) {
  using Word = typename Raw<N * sizeof(T)>::Type;
  wait_for_earlier();
  const GroupPlace at(g);
  if (!at.live || at.first >= p.positions) return;
  const float4 stats = reinterpret_cast<const float4*>(
      p.workspace)[p.batch * g.parts() + at.sample * p.groups + at.column / g.part];
  float factor[N], bias[N];
  if (const Side weight{p.weight.data, p.weight.dtype}) {
    weight.load(at.column * N, factor);
#pragma unroll
    for (int e = 0; e < N; ++e) factor[e] *= stats.z;
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e) factor[e] = stats.z;
  }
  if (const Side side{p.bias.data, p.bias.dtype}) {
    side.load(at.column * N, bias);
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e) bias[e] = 0;
  }
  const int64_t rows = (p.positions - at.first + at.step - 1) / at.step;
  const int64_t last =
      (at.sample * p.positions + at.first + (rows - 1) * at.step) * p.width + at.column * N;
  const int64_t step = at.step * p.width;
  const T* x = static_cast<const T*>(p.x) + last;
  T* y = static_cast<T*>(p.y) + last;
  const auto finish = [&](float(&v)[N]) {
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = (v[e] - stats.x - stats.y) * factor[e] + bias[e];
    // Nobody reads y before much of it has left the caches: x may stay in them.
    __stcs(reinterpret_cast<Word*>(y), pack_word<T, N, Word>(v));
    y -= step;
  };
  int64_t i = 0;
  for (; i + kGroupRows <= rows; i += kGroupRows) {
    Word rows[kGroupRows];
#pragma unroll
    for (int k = 0; k < kGroupRows; ++k, x -= step) rows[k] = *reinterpret_cast<const Word*>(x);
#pragma unroll
    for (int k = 0; k < kGroupRows; ++k) {
      float v[N];
      unpack_word<T, N>(rows[k], v);
      finish(v);
    }
  }
  for (; i < rows; ++i, x -= step) {
    float v[N];
    load_chunk(x, v);
    finish(v);
  }
}

int group_chunk(const GroupNormParams& p) {
  const int most = p.dtype == DType::kF32 ? 4 : 8;
  return p.width / p.groups % most == 0 ? most : 1;
}

GroupLayout group_layout(const GroupNormParams& p) {
  constexpr int64_t kBlocks = 528, kLeastRows = 2 * kGroupRows;  // all at once on an H100
  GroupLayout g;
  g.columns = p.width / group_chunk(p);
  g.part = g.columns / p.groups;
  g.fold = 8;
  while (g.part % g.fold != 0) --g.fold;
  const int64_t units = g.columns / g.fold, most = kGroupThreads / g.fold;
  g.tiles = static_cast<int>((units + most - 1) / most);
  g.tile = static_cast<int>((units + g.tiles - 1) / g.tiles) * g.fold;
  g.abreast = kGroupThreads / g.tile;
  g.blocks = std::clamp<int64_t>(p.positions / (g.abreast * kLeastRows), 1,
                                 std::max<int64_t>(kBlocks / (g.tiles * p.batch), 1));
  return g;
}

}  // namespace

int64_t group_norm_workspace(const GroupNormParams& p) {
  if (p.batch * p.positions * p.width == 0) return 0;
  const GroupLayout g = group_layout(p);
  return 16 * p.batch * (g.parts() + p.groups);
}

cudaError_t group_norm(const GroupNormParams& p, cudaStream_t stream) {
  if (p.batch * p.positions * p.width == 0) return cudaSuccess;
  const GroupLayout g = group_layout(p);
  const LaunchShape shape{.blocks = static_cast<unsigned>(p.batch * g.blocks * g.tiles),
                          .threads = static_cast<unsigned>((g.tile * g.abreast + 31) / 32 * 32)};
  const LaunchShape combine{.blocks = static_cast<unsigned>(p.batch * p.groups),
                            .threads = kCombineThreads};
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&](auto chunk) {
      constexpr int N = decltype(chunk)::value;
      cudaError_t result = launch_early(group_parts_kernel<T, N>, shape, stream, p, g);
      if (result == cudaSuccess) result = launch_early(group_combine_kernel, combine, stream, p, g);
      if (result == cudaSuccess)
        result = launch_early(group_apply_kernel<T, N>, shape, stream, p, g);
      return result;
    };
    return group_chunk(p) == kChunk<T> ? launch(std::integral_constant<int, kChunk<T>>())
                                       : launch(std::integral_constant<int, 1>());
  });
}

}  // namespace zoetrope::cuda
