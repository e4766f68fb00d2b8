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
// each(body) calls body(v, inside) with the units of this lane; those outside the row are zeros.
// Every thread of the block comes here.
template <int N, typename Each>
__device__ RowStatistics row_statistics(const RowNormParams& p, int lanes, Each&& each) {
  RowStatistics result;
  const float part = reciprocal_of(static_cast<float>(p.width));
  float sum = 0;
  // Two sums a unit: additions of one would wait for one another.
  const auto add = [&](auto&& value) {
    each([&](const float(&v)[N], bool) {
      float parts[2] = {0, 0};
#pragma unroll
      for (int i = 0; i < N; ++i) parts[i % 2] += value(v[i]);
      sum += parts[0] + parts[1];
    });
  };
  if (p.rms)
    add([](float v) { return v * v; });
  else
    add([](float v) { return v; });
  float square = row_sum(sum, lanes) * part;
  if (!p.rms) {
    result.mean = square;
    // Far from zero the mean has lost digits: what is left around it mends it.
    float left = 0, squares = 0;
    each([&](const float(&v)[N], bool inside) {
      const float mean = inside ? result.mean : 0;
      float lefts[2] = {0, 0}, all[2] = {0, 0};
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const float d = v[i] - mean;
        lefts[i % 2] += d;
        all[i % 2] += d * d;
      }
      left += lefts[0] + lefts[1];
      squares += all[0] + all[1];
    });
    const float2 sums = row_sum(make_float2(left, squares), lanes);
    result.rest = sums.x * part;
    square = sums.y * part - result.rest * result.rest;
  }
  result.factor = rsqrtf(square + p.epsilon);
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
    uint4 residual[kKeep];
    load_units(static_cast<const T*>(p.residual) + base, at, units, residual);
    int64_t g[2] = {0, 0};
    if (p.gate.data != nullptr && units > 0) p.gating.offsets(at.row, g);
    T* sum = static_cast<T*>(p.sum) + base + at.lane * N;
#pragma unroll
    for (int k = 0; k < kKeep; ++k) {
      float gate[1][N], r[N];
      load_any_side(p.gate, g[0], 1, at, units, k, gate);
      unpack<T>(x[k], kept_[k]);
      unpack<T>(residual[k], r);
#pragma unroll
      for (int i = 0; i < N; ++i) kept_[k][i] += gate[0][i] * r[i];
      if (const int skip = k * at.lanes; at.lane + skip < units)
        store_chunk(sum + skip * N, kept_[k]);
    }
  }

  std::conditional_t<kResidual, float[kKeep][N], uint4[kKeep]> kept_;
};

// Rows that stay in registers, between one read and one write; sides along all of the row, weight,
// bias, scale and shift of S.
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
        load_side<S>(p.weight, 0, 1, at, units, first, weight);
        load_side<S>(p.bias, 0, 0, at, units, first, bias);
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
  // The one dtype of these sides; none where they differ.
  DType side = p.dtype;
  bool any = false, same = true;
  for (const SideParams& one : {p.weight, p.bias, p.scale, p.shift}) {
    if (one.data == nullptr) continue;
    same = same && (!any || one.dtype == side);
    side = one.dtype;
    any = true;
  }
  const auto along = [](const SideParams& one, bool moves) { return one.data == nullptr || moves; };
  const bool rows = along(p.scale, p.modulation.moves[0]) &&
                    along(p.shift, p.modulation.moves[1]) && along(p.gate, p.gating.moves[0]);
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
    const bool kept = chunks && layout.keep > 0 && same && rows;
    if (kept && side == DType::kF32) return launch(float());
    if (kept && side == p.dtype) return launch(T());
    return launch_early(chunks ? row_norm_kernel<T, N> : row_norm_kernel<T, 1>, shape, stream, p,
                        layout.lanes);
  });
}

}  // namespace zoetrope::cuda
