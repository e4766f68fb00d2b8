// Norms whose rows leave as 8-bit numbers: normalised rows stay in registers until their largest
// number is known.
#include <cuda_fp8.h>

#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/narrow.cuh"
#include "backends/cuda/kernels/norms.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kMostThreads = 256, kMostKept = 3;  // chunks a lane, in f32

template <typename T, typename S, typename Q, int kKeep, bool kResidual>
__global__ void __launch_bounds__(kMostThreads, 2)
    norm_quantize_kernel(const NormQuantizeParams all, int lanes) {
  constexpr int N = kChunk<T>;
  wait_for_earlier();
  const RowNormParams& p = all.norm;
  const RowLane at(lanes);
  const bool live = at.row < p.rows;
  const int units = live ? static_cast<int>(p.width) / N : 0;
  const int64_t base = at.row * p.width;
  int64_t m[2] = {0, 0};
  const bool modulated = p.scale.data != nullptr || p.shift.data != nullptr;
  if (modulated && live) p.modulation.offsets(at.row, m);
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

  float v[kKeep][N], most = 0;
  const float rest = -s.rest * s.factor;
  const bool weighted = p.weight.data != nullptr || p.bias.data != nullptr;
#pragma unroll
  for (int k = 0; k < kKeep; ++k) {
    kept.values(k, v[k]);
#pragma unroll
    for (int i = 0; i < N; ++i) v[k][i] = (v[k][i] - s.mean) * s.factor + rest;
    if (weighted) {
      float weight[1][N], bias[1][N];
      load_any_side(p.weight, 0, 1, at, units, k, weight);
      load_any_side(p.bias, 0, 0, at, units, k, bias);
#pragma unroll
      for (int i = 0; i < N; ++i) v[k][i] = v[k][i] * weight[0][i] + bias[0][i];
    }
    if (modulated) {
      float scale[1][N], shift[1][N];
      load_side<S>(p.scale, m[0], 0, at, units, k, scale);
      load_side<S>(p.shift, m[1], 0, at, units, k, shift);
#pragma unroll
      for (int i = 0; i < N; ++i) v[k][i] = v[k][i] * (1.f + scale[0][i]) + shift[0][i];
    }
    if (at.lane + k * lanes >= units) continue;
#pragma unroll
    for (int i = 0; i < N; ++i) most = larger(most, v[k][i]);
  }
  const RowFactors factors(row_max(nan_as_infinity(most), lanes), kLargest<Q>);
  if (live && at.lane == 0) all.scales[at.row] = factors.widen;
  uint8_t* q = static_cast<uint8_t*>(all.q) + base + at.lane * N;
#pragma unroll
  for (int k = 0; k < kKeep; ++k)
    if (const int skip = k * lanes; at.lane + skip < units)
      store_narrow<Q>(q + skip * N, v[k], factors);
}

template <typename T, typename S, typename Q>
cudaError_t launch(const NormQuantizeParams& p, cudaStream_t stream) {
  const RowLayout layout = lay_out_rows(p.norm.rows, p.norm.width / kChunk<T>, kMostKept);
  const LaunchShape shape{.blocks = layout.blocks,
                          .threads = static_cast<unsigned>(layout.threads)};
  const auto with = [&](auto keep) {
    constexpr int kKeep = decltype(keep)::value;
    return launch_early(p.norm.residual != nullptr ? norm_quantize_kernel<T, S, Q, kKeep, true>
                                                   : norm_quantize_kernel<T, S, Q, kKeep, false>,
                        shape, stream, p, layout.lanes);
  };
  switch (layout.keep) {
    case 1: return with(Keep<1>());
    case 2: return with(Keep<2>());
    case 3: return with(Keep<3>());
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace

bool norm_quantizes(const RowNormParams& p) {
  const int64_t chunk = 16 / dtype_size(p.dtype);
  const NormSides sides(p);
  return p.width % chunk == 0 && lay_out_rows(p.rows, p.width / chunk, kMostKept).keep > 0 &&
         sides.alike && (sides.dtype == DType::kF32 || sides.dtype == p.dtype);
}

cudaError_t norm_quantize(const NormQuantizeParams& p, cudaStream_t stream) {
  if (p.norm.rows == 0) return cudaSuccess;
  const DType side = NormSides(p.norm).dtype;
  return with_compute_type(p.norm.dtype, [&](auto t) {
    using T = decltype(t);
    const auto with_side = [&](auto s) {
      using S = decltype(s);
      return p.out == DType::kI8 ? launch<T, S, int8_t>(p, stream)
                                 : launch<T, S, __nv_fp8_e4m3>(p, stream);
    };
    return side == DType::kF32 ? with_side(float()) : with_side(T());
  });
}

}  // namespace zoetrope::cuda
