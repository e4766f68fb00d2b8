#include "backends/cuda/kernels/norms.cuh"

#include "backends/cuda/kernels/launch.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kMostThreads = 256;

// Rows that stay in registers, between one read and one write; sides along all of the row, scale
// and shift of S.
template <typename T, typename S, int kKeep, bool kResidual>
__global__ void __launch_bounds__(kMostThreads, 2)
    kept_norm_kernel(const RowNormParams p, int lanes) {
  constexpr int N = kChunk<T>, kGroup = kTogether<kKeep>;
  wait_for_earlier();
  const RowLane at(lanes);
  const bool live = at.row < p.rows;
  const int units = live ? static_cast<int>(p.width) / N : 0;
  const int64_t base = at.row * p.width;

  int64_t m[2] = {0, 0};
  const bool modulated = p.scale.data != nullptr || p.shift.data != nullptr;
  if (modulated && live) p.modulation.offsets(at.row, m);
  float scale[kGroup][N], shift[kGroup][N];
  const auto load_modulation = [&](int first) {
    load_side<S>(p.scale, m[0], 0, at, units, first, scale);
    load_side<S>(p.shift, m[1], 0, at, units, first, shift);
  };
  // In time where it fits: short rows wait for little else.
  if (kGroup == kKeep && modulated) load_modulation(0);
  KeptUnits<T, kKeep, kResidual> kept;
  kept.load(p, at, units, base);
  const RowStatistics s = row_statistics<N>(p, lanes, [&](auto&& body) {
#pragma unroll
    for (int k = 0; k < kKeep; ++k) {
      float v[N];
      kept.values(k, v);
      body(v, at.lane + k * lanes < units);
    }
  });

  T* y = static_cast<T*>(p.y) + base + at.lane * N;
  const float rest = -s.rest * s.factor;
  const auto finish = [&](auto weighted, auto moved) {
#pragma unroll
    for (int first = 0; first < kKeep; first += kGroup) {
      float weight[kGroup][N], bias[kGroup][N];
      if constexpr (weighted()) {
        load_any_side(p.weight, 0, 1, at, units, first, weight);
        load_any_side(p.bias, 0, 0, at, units, first, bias);
      }
      if constexpr (moved() && kGroup != kKeep) load_modulation(first);
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        const int skip = (first + k) * lanes;
        if (at.lane + skip >= units) continue;
        float v[N];
        kept.values(first + k, v);
#pragma unroll
        for (int i = 0; i < N; ++i) {
          v[i] = (v[i] - s.mean) * s.factor + rest;
          if constexpr (weighted()) v[i] = v[i] * weight[k][i] + bias[k][i];
          if constexpr (moved()) v[i] = v[i] * (1.f + scale[k][i]) + shift[k][i];
        }
        store_chunk(y + skip * N, v);
      }
    }
  };
  using Yes = std::true_type;
  using No = std::false_type;
  const bool weighted = p.weight.data != nullptr || p.bias.data != nullptr;
  if (weighted && modulated) return finish(Yes(), Yes());
  if (weighted) return finish(Yes(), No());
  if (modulated) return finish(No(), Yes());
  finish(No(), No());
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
  const RowStatistics s = row_statistics<N>(p, lanes, [&](auto&& body) {
    for (int u = at.lane; u < units; u += lanes) {
      float v[N];
      load(u, v);
      body(v, true);
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

}  // namespace

cudaError_t row_norm(const RowNormParams& p, cudaStream_t stream) {
  if (p.rows == 0) return cudaSuccess;
  const NormSides sides(p);
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    constexpr int N = kChunk<T>;
    const bool chunks = p.width % N == 0;
    const int64_t units = chunks ? p.width / N : p.width;
    RowLayout layout = lay_out_rows(p.rows, units);
    // Sums in f32 take twice the registers: less of them a lane, where that keeps the row.
    if (p.residual != nullptr)
      if (const RowLayout fewer = lay_out_rows(p.rows, units, 3); fewer.keep > 0) layout = fewer;
    const LaunchShape shape{.blocks = layout.blocks,
                            .threads = static_cast<unsigned>(layout.threads)};
    const auto launch = [&](auto s) {
      using S = decltype(s);
      return with_keep(layout.keep, [&](auto keep) {
        constexpr int kKeep = decltype(keep)::value;
        return launch_early(p.residual != nullptr ? kept_norm_kernel<T, S, kKeep, true>
                                                  : kept_norm_kernel<T, S, kKeep, false>,
                            shape, stream, p, layout.lanes);
      });
    };
    const bool kept = chunks && layout.keep > 0 && sides.alike;
    if (kept && sides.dtype == DType::kF32) return launch(float());
    if (kept && sides.dtype == p.dtype) return launch(T());
    return launch_early(chunks ? row_norm_kernel<T, N> : row_norm_kernel<T, 1>, shape, stream, p,
                        layout.lanes);
  });
}

}  // namespace zoetrope::cuda
