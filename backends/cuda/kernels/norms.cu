#include "backends/cuda/kernels/norms.h"

#include <type_traits>

#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/rows.cuh"

namespace zoetrope::cuda {
namespace {

// Mean and 1/√(variance + ε) of the rows of a block, without a mean for RMS.
struct RowStatistics {
  float mean = 0, rest = 0, factor = 0;
};
// each(body) calls body(v) for the values of this lane. Every thread of the block comes here.
template <typename Each>
__device__ RowStatistics row_statistics(const RowNormParams& p, int lanes, Each&& each) {
  RowStatistics result;
  const auto width = static_cast<float>(p.width);
  float sum = 0;
  if (p.rms)
    each([&](float v) { sum += v * v; });
  else
    each([&](float v) { sum += v; });
  float square = row_sum(sum, lanes) / width;
  if (!p.rms) {
    result.mean = square;
    // Far from zero the mean has lost digits: what is left around it mends it.
    float left = 0, squares = 0;
    each([&](float v) {
      const float d = v - result.mean;
      left += d;
      squares += d * d;
    });
    const float2 sums = row_sum(make_float2(left, squares), lanes);
    result.rest = sums.x / width;
    square = sums.y / width - result.rest * result.rest;
  }
  result.factor = 1.f / sqrtf(square + p.epsilon);
  return result;
}

constexpr int kMostThreads = 256;

// The units of a row that a lane holds: as they were read, or, since x + gate·residual is
// normalised before it is rounded, in f32.
template <typename T, int kKeep, bool kResidual>
class KeptUnits {
 public:
  static constexpr int N = kChunk<T>;

  __device__ void load(const RowNormParams& p, const RowLane& at, int units, int64_t base) {
    uint4 x[kKeep];
    load_units(static_cast<const T*>(p.x) + base, at, units, x);
    if constexpr (kResidual)
      add_residual(p, at, units, base, x);
    else
#pragma unroll
      for (int k = 0; k < kKeep; ++k) kept_[k] = x[k];
  }
  __device__ void values(int k, float (&to)[N]) const {
    if constexpr (kResidual) {
#pragma unroll
      for (int i = 0; i < N; ++i) to[i] = kept_[k][i];
    } else {
      unpack<T>(kept_[k], to);
    }
  }

 private:
  __device__ void add_residual(const RowNormParams& p, const RowLane& at, int units, int64_t base,
                               const uint4 (&x)[kKeep]) {
    constexpr int kGroup = kTogether<kKeep>;
    uint4 residual[kKeep];
    load_units(static_cast<const T*>(p.residual) + base, at, units, residual);
    int64_t g[2] = {0, 0};
    if (p.gate.data != nullptr && units > 0) p.gating.offsets(at.row, g);
#pragma unroll
    for (int first = 0; first < kKeep; first += kGroup) {
      float gate[kGroup][N];
      load_any_side(p.gate, g[0], p.gating.moves[0], 1, at, units, first, gate);
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        float r[N];
        unpack<T>(x[first + k], kept_[first + k]);
        unpack<T>(residual[first + k], r);
#pragma unroll
        for (int i = 0; i < N; ++i) kept_[first + k][i] += gate[k][i] * r[i];
        if (const int u = at.lane + (first + k) * at.lanes; u < units)
          store_chunk(static_cast<T*>(p.sum) + base + u * N, kept_[first + k]);
      }
    }
  }

  std::conditional_t<kResidual, float[kKeep][N], uint4[kKeep]> kept_;
};

// Rows that stay in registers, between one read and one write; weight, bias, scale and shift of S.
template <typename T, typename S, int kKeep, bool kResidual>
__global__ void __launch_bounds__(kMostThreads, 2)
    kept_norm_kernel(const RowNormParams p, int lanes) {
  constexpr int N = kChunk<T>, kGroup = kTogether<kKeep>;
  wait_for_earlier();
  const RowLane at(lanes);
  const bool live = at.row < p.rows;
  const int units = live ? static_cast<int>(p.width / N) : 0;
  const int64_t base = at.row * p.width;

  int64_t m[2] = {0, 0};
  const bool modulated = p.scale.data != nullptr || p.shift.data != nullptr;
  if (modulated && live) p.modulation.offsets(at.row, m);
  float a[kGroup][N], b[kGroup][N];
  const auto modulation = [&](int first) {
    load_side<S>(p.scale, m[0], p.modulation.moves[0], 0, at, units, first, a);
    load_side<S>(p.shift, m[1], p.modulation.moves[1], 0, at, units, first, b);
  };
  // In time where it fits: short rows wait for little else.
  if (kGroup == kKeep && modulated && live) modulation(0);
  KeptUnits<T, kKeep, kResidual> kept;
  kept.load(p, at, units, base);

  const RowStatistics s = row_statistics(p, lanes, [&](auto&& body) {
#pragma unroll
    for (int k = 0; k < kKeep; ++k) {
      if (at.lane + k * lanes >= units) continue;
      float v[N];
      kept.values(k, v);
#pragma unroll
      for (int i = 0; i < N; ++i) body(v[i]);
    }
  });

  T* y = static_cast<T*>(p.y) + base;
#pragma unroll
  for (int first = 0; first < kKeep; first += kGroup) {
    float v[kGroup][N];
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      kept.values(first + k, v[k]);
#pragma unroll
      for (int i = 0; i < N; ++i) v[k][i] = (v[k][i] - s.mean - s.rest) * s.factor;
    }
    if (p.weight.data != nullptr || p.bias.data != nullptr) {
      float weight[kGroup][N], bias[kGroup][N];
      load_side<S>(p.weight, 0, true, 1, at, units, first, weight);
      load_side<S>(p.bias, 0, true, 0, at, units, first, bias);
#pragma unroll
      for (int k = 0; k < kGroup; ++k)
#pragma unroll
        for (int i = 0; i < N; ++i) v[k][i] = v[k][i] * weight[k][i] + bias[k][i];
    }
    if (modulated) {
      if (kGroup != kKeep && live) modulation(first);
#pragma unroll
      for (int k = 0; k < kGroup; ++k)
#pragma unroll
        for (int i = 0; i < N; ++i) v[k][i] = v[k][i] * (1.f + a[k][i]) + b[k][i];
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k)
      if (const int u = at.lane + (first + k) * lanes; u < units)
        *reinterpret_cast<uint4*>(y + u * N) = pack<T>(v[k]);
  }
}

// Rows of any width, sides of any dtype: x is read again for every pass.
template <typename T, int N>
__global__ void row_norm_kernel(const RowNormParams p, int lanes) {
  wait_for_earlier();
  const RowLane at(lanes);
  const bool live = at.row < p.rows;
  const int units = live ? static_cast<int>(p.width / N) : 0;
  const int64_t base = at.row * p.width;
  const T* x = static_cast<const T*>(p.x) + base;
  const Side weight{p.weight.data, p.weight.dtype}, bias{p.bias.data, p.bias.dtype},
      scale{p.scale.data, p.scale.dtype}, shift{p.shift.data, p.shift.dtype},
      gate{p.gate.data, p.gate.dtype};
  int64_t m[2] = {0, 0}, g[2] = {0, 0};
  if ((scale || shift) && live) p.modulation.offsets(at.row, m);
  if (gate && live) p.gating.offsets(at.row, g);
  // One value of a side serves a whole row where it does not move.
  const auto take = [&](const Side& side, int64_t from, bool moves, int u, float(&to)[N]) {
    if (moves) return side.load(from + u * N, to);
    const float value = side.one(from);
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = value;
  };

  const T* residual = p.residual != nullptr ? static_cast<const T*>(p.residual) + base : nullptr;
  const auto load = [&](int u, float(&v)[N]) {
    load_chunk(x + u * N, v);
    if (residual == nullptr) return;
    float r[N], factor[N];
    load_chunk(residual + u * N, r);
    if (gate) take(gate, g[0], p.gating.moves[0], u, factor);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] += gate ? factor[i] * r[i] : r[i];
  };
  const RowStatistics s = row_statistics(p, lanes, [&](auto&& body) {
    for (int u = at.lane; u < units; u += lanes) {
      float v[N];
      load(u, v);
#pragma unroll
      for (int i = 0; i < N; ++i) body(v[i]);
    }
  });
  T* y = static_cast<T*>(p.y) + base;
  for (int u = at.lane; u < units; u += lanes) {
    float v[N], side[N];
    load(u, v);
    // The sum may lie where x or the residual did: each is read before.
    if (residual != nullptr) store_chunk(static_cast<T*>(p.sum) + base + u * N, v);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = (v[i] - s.mean - s.rest) * s.factor;
    if (weight) {
      weight.load(u * N, side);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] *= side[i];
    }
    if (bias) {
      bias.load(u * N, side);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += side[i];
    }
    if (scale) {
      take(scale, m[0], p.modulation.moves[0], u, side);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] *= 1.f + side[i];
    }
    if (shift) {
      take(shift, m[1], p.modulation.moves[1], u, side);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += side[i];
    }
    store_chunk(y + u * N, v);
  }
}

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
__device__ float4 packed(const Moments& m) { return {m.mean, m.rest, m.squares, 0}; }

struct GroupLayout {
  int64_t columns, part;     // chunks of a position, and of a group
  int64_t block, blocks;     // positions of a block, blocks of a sample
  int tile, abreast, tiles;  // columns and positions that a thread block takes at once
};

constexpr int kGroupThreads = 128;

// Moments of each column over a block of positions: workspace [batch, blocks, columns, 4].
template <typename T, int N>
__global__ void group_parts_kernel(const GroupNormParams p, const GroupLayout g) {
  const int64_t which = blockIdx.x / g.tiles;
  const int64_t sample = which / g.blocks, block = which % g.blocks;
  const int64_t column = static_cast<int64_t>(blockIdx.x % g.tiles) * g.tile + threadIdx.x % g.tile;
  const int slot = static_cast<int>(threadIdx.x) / g.tile;
  const int64_t begin = block * g.block, end = min(begin + g.block, p.positions);
  const T* x = static_cast<const T*>(p.x) + sample * p.positions * p.width + column * N;
  // Sums around the first value keep their digits.
  float around = 0, sum = 0, squares = 0, count = 0;
  if (slot < g.abreast && column < g.columns) {
    for (int64_t i = begin + slot; i < end; i += g.abreast) {
      float v[N];
      load_chunk(x + i * p.width, v);
      if (count == 0) around = v[0];
#pragma unroll
      for (int e = 0; e < N; ++e) {
        const float d = v[e] - around;
        sum += d;
        squares += d * d;
      }
      count += N;
    }
  }
  const float shift = count > 0 ? sum / count : 0;
  Moments m{count, around, shift, fmaxf(squares - sum * shift, 0.f)};
  __shared__ Moments parts[kGroupThreads];
  parts[threadIdx.x] = m;
  __syncthreads();
  if (slot != 0 || column >= g.columns) return;
  for (int s = 1; s < g.abreast; ++s) m = merged(m, parts[threadIdx.x + s * g.tile]);
  reinterpret_cast<float4*>(p.workspace)[which * g.columns + column] = packed(m);
}

// Mean, rest and 1/√(variance + ε) of each group: [batch, groups, 4] behind the parts.
__global__ void group_combine_kernel(const GroupNormParams p, const GroupLayout g, int chunk) {
  const int64_t sample = blockIdx.x / p.groups, group = blockIdx.x % p.groups;
  const float4* parts =
      reinterpret_cast<const float4*>(p.workspace) + sample * g.blocks * g.columns + group * g.part;
  Moments m{0, 0, 0, 0};
  for (int64_t i = threadIdx.x; i < g.blocks * g.part; i += kGroupThreads) {
    const int64_t block = i / g.part;
    const float4 v = parts[block * g.columns + i % g.part];
    const int64_t positions = min(g.block, p.positions - block * g.block);
    m = merged(m, {static_cast<float>(positions * chunk), v.x, v.y, v.z});
  }
  __shared__ Moments all[kGroupThreads];
  all[threadIdx.x] = m;
  for (int half = kGroupThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < half)
      all[threadIdx.x] = merged(all[threadIdx.x], all[threadIdx.x + half]);
  }
  if (threadIdx.x != 0) return;
  m = all[0];
  m.squares = 1.f / sqrtf(m.squares / m.count + p.epsilon);
  float4* stats = reinterpret_cast<float4*>(p.workspace) + p.batch * g.blocks * g.columns;
  stats[blockIdx.x] = packed(m);
}

template <typename T, int N>
__global__ void group_apply_kernel(const GroupNormParams p, const GroupLayout g, Divider columns,
                                   Divider positions, Divider part) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= p.batch * p.positions * g.columns) return;
  const auto row = static_cast<int64_t>(columns.quotient(static_cast<uint64_t>(i)));
  const int64_t column = i - row * g.columns;
  const auto sample = static_cast<int64_t>(positions.quotient(static_cast<uint64_t>(row)));
  const auto group = static_cast<int64_t>(part.quotient(static_cast<uint64_t>(column)));
  const float4 stats = (reinterpret_cast<const float4*>(p.workspace) +
                        p.batch * g.blocks * g.columns)[sample * p.groups + group];
  float v[N], side[N];
  load_chunk(static_cast<const T*>(p.x) + i * N, v);
#pragma unroll
  for (int e = 0; e < N; ++e) v[e] = (v[e] - stats.x - stats.y) * stats.z;
  if (const Side weight{p.weight.data, p.weight.dtype}) {
    weight.load(column * N, side);
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] *= side[e];
  }
  if (const Side bias{p.bias.data, p.bias.dtype}) {
    bias.load(column * N, side);
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] += side[e];
  }
  store_chunk(static_cast<T*>(p.y) + i * N, v);
}

int group_chunk(const GroupNormParams& p) {
  const int most = p.dtype == DType::kF32 ? 4 : 8;
  return p.width / p.groups % most == 0 ? most : 1;
}

GroupLayout group_layout(const GroupNormParams& p) {
  constexpr int64_t kMostBlocks = 512;
  GroupLayout g;
  const int chunk = group_chunk(p);
  g.columns = p.width / chunk;
  g.part = g.columns / p.groups;
  g.tile = static_cast<int>(g.columns < kGroupThreads ? g.columns : kGroupThreads);
  g.abreast = kGroupThreads / g.tile;
  g.tiles = static_cast<int>((g.columns + g.tile - 1) / g.tile);
  const int64_t even = (p.positions + kMostBlocks - 1) / kMostBlocks, least = g.abreast * 16;
  g.block = even > least ? even : least;
  g.blocks = (p.positions + g.block - 1) / g.block;
  return g;
}

}  // namespace

cudaError_t row_norm(const RowNormParams& p, cudaStream_t stream) {
  if (p.rows == 0) return cudaSuccess;
  // The one dtype of these sides; none where they differ.
  DType side = p.dtype;
  bool any = false, same = true;
  for (const SideParams& one : {p.weight, p.bias, p.scale, p.shift}) {
    if (one.data == nullptr) continue;
    same = same && (!any || one.dtype == side);
    side = one.dtype;
    any = true;
  }
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    constexpr int N = kChunk<T>;
    const bool chunks = p.width % N == 0;
    const RowPlan plan = plan_rows(p.rows, chunks ? p.width / N : p.width);
    const LaunchShape shape{.blocks = plan.blocks, .threads = static_cast<unsigned>(plan.threads)};
    const auto launch = [&](auto s) {
      using S = decltype(s);
      return with_keep(plan.keep, [&](auto keep) {
        constexpr int kKeep = decltype(keep)::value;
        return launch_early(p.residual != nullptr ? kept_norm_kernel<T, S, kKeep, true>
                                                  : kept_norm_kernel<T, S, kKeep, false>,
                            shape, stream, p, plan.lanes);
      });
    };
    const bool kept = chunks && plan.keep > 0 && same;
    if (kept && side == DType::kF32) return launch(float());
    if (kept && side == p.dtype) return launch(T());
    return launch_early(chunks ? row_norm_kernel<T, N> : row_norm_kernel<T, 1>, shape, stream, p,
                        plan.lanes);
  });
}

int64_t group_norm_workspace(const GroupNormParams& p) {
  if (p.batch * p.positions * p.width == 0) return 0;
  const GroupLayout g = group_layout(p);
  return 16 * (p.batch * g.blocks * g.columns + p.batch * p.groups);
}

cudaError_t group_norm(const GroupNormParams& p, cudaStream_t stream) {
  if (p.batch * p.positions * p.width == 0) return cudaSuccess;
  const GroupLayout g = group_layout(p);
  with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&](auto chunk) {
      constexpr int N = decltype(chunk)::value, kThreads = 256;
      group_parts_kernel<T, N>
          <<<static_cast<unsigned>(p.batch * g.blocks * g.tiles), kGroupThreads, 0, stream>>>(p, g);
      group_combine_kernel<<<static_cast<unsigned>(p.batch * p.groups), kGroupThreads, 0, stream>>>(
          p, g, N);
      const int64_t count = p.batch * p.positions * g.columns;
      group_apply_kernel<T, N>
          <<<static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream>>>(
              p, g, Divider(g.columns), Divider(p.positions), Divider(g.part));
    };
    if (group_chunk(p) == kChunk<T>)
      launch(Keep<kChunk<T>>());
    else
      launch(Keep<1>());
  });
  return cudaGetLastError();
}

}  // namespace zoetrope::cuda
