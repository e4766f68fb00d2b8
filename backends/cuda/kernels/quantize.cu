// Rows as 8-bit numbers. Rows of whole eights stay in registers, so that they are read once: short
// ones have lanes of a warp, long ones a block. Any others are read again.
#include "backends/cuda/kernels/quantize.h"

#include <algorithm>

#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/narrow.cuh"
#include "graph/rotation.h"

namespace zoetrope::cuda {
namespace {

constexpr int kMostThreads = 512, kPer = 8, kWarp = 32;
static_assert(kPer == kRotation);

// Of the lanes of a warp that share a row, a power of two.
__device__ float lane_max(float value, int lanes) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2)
    if (step < lanes) value = fmaxf(value, __shfl_xor_sync(~0u, value, step));
  return value;
}
// The largest of the block's values, in every thread.
__device__ float block_max(float value) {
  __shared__ float shared[kMostThreads / kWarp];
  value = lane_max(value, kWarp);
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = shared[0];
  for (unsigned i = 1; i < blockDim.x / kWarp; ++i) value = fmaxf(value, shared[i]);
  return value;
}

// What is known of the activation when it is compiled: switches cost as much as the activations.
// kPlain: none, and no b; kTurned: likewise, of turned rows; kAny: all of it, and whether there is
// a b, is known at run time.
enum class Known { kPlain, kTurned, kGeluTanh, kSilu, kAny };

// A block of neighbours, as rotate_row() of graph/rotation.h turns it.
__device__ void rotate(float (&v)[kPer]) {
#pragma unroll
  for (int apart = kPer / 2; apart > 0; apart /= 2)
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      if (i / apart % 2 != 0) continue;
      const float a = v[i], b = v[i + apart];
      v[i] = __fadd_rn(a, b);
      v[i + apart] = __fsub_rn(a, b);
    }
}

template <Known kKnown>
__device__ void activate_eight(const QuantizeRowsParams& p, float (&v)[kPer]) {
  constexpr Activation kFixed = kKnown == Known::kSilu ? Activation::kSilu : Activation::kGeluTanh;
#pragma unroll
  for (int i = 0; i < kPer; ++i)
    v[i] = activate(kKnown == Known::kAny ? p.activation : kFixed, v[i]);
}

// Eight neighbours as read.
template <typename T>
struct Eight {
  static constexpr int kWords = kPer / kChunk<T>;
  uint4 words[kWords];

  __device__ void load(const T* from, bool inside) {
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      words[w] = {};
      if (inside) words[w] = reinterpret_cast<const uint4*>(from)[w];
    }
  }
  __device__ void values(float (&to)[kPer]) const {
#pragma unroll
    for (int w = 0; w < kWords; ++w) unpack_word<T, kChunk<T>>(words[w], to + w * kChunk<T>);
  }
};

// `lanes` threads share a row, each holds up to kKeep eights: a power of two up to a warp, or the
// block. Rows of an activation stay as f32, others as read.
template <typename T, typename Q, Known kKnown, bool kTwo, int kKeep>
__global__ void __launch_bounds__(kMostThreads, sizeof(T) == 2 ? 2 : 1)
    kept_rows_kernel(const __grid_constant__ QuantizeRowsParams p, int lanes) {
  constexpr bool kActivates = kKnown != Known::kPlain && kKnown != Known::kTurned;
  wait_for_earlier();
  const bool alone = lanes > kWarp;
  const int bits = __ffs(lanes) - 1, thread = static_cast<int>(threadIdx.x);
  const int lane = alone ? thread : thread & (lanes - 1);
  const int64_t row =
      alone ? int64_t{blockIdx.x} : int64_t{blockIdx.x} * (blockDim.x >> bits) + (thread >> bits);
  const int units = row < p.rows ? static_cast<int>(p.width / kPer) : 0;
  const int64_t at = row * p.width + lane * kPer;
  const int step = lanes * kPer;
  const T *x = static_cast<const T*>(p.x) + at, *b = static_cast<const T*>(p.b) + at;
  const bool times = kTwo && p.b != nullptr;

  Eight<T> kept[kKeep], factors_of[kTwo ? kKeep : 1];
#pragma unroll
  for (int k = 0; k < kKeep; ++k) kept[k].load(x + k * step, lane + k * lanes < units);
  if constexpr (kTwo)
#pragma unroll
    for (int k = 0; k < kKeep; ++k)
      factors_of[k].load(b + k * step, times && lane + k * lanes < units);

  float active[kActivates ? kKeep : 1][kPer];
  const auto values = [&](int k, float(&v)[kPer]) {
    if constexpr (kActivates) {
#pragma unroll
      for (int i = 0; i < kPer; ++i) v[i] = active[k][i];
    } else {
      kept[k].values(v);
      if constexpr (kKnown == Known::kTurned) rotate(v);
    }
  };
  float most = 0;
#pragma unroll
  for (int k = 0; k < kKeep; ++k) {
    if (lane + k * lanes >= units) break;
    if constexpr (kActivates) {
      kept[k].values(active[k]);
      activate_eight<kKnown>(p, active[k]);
      if constexpr (kTwo) {
        float factor[kPer];
        factors_of[k].values(factor);
#pragma unroll
        for (int i = 0; i < kPer; ++i) active[k][i] *= times ? factor[i] : 1.f;
      }
    }
    float v[kPer];
    values(k, v);
#pragma unroll
    for (int i = 0; i < kPer; ++i) most = larger(most, v[i]);
  }
  most = nan_as_infinity(most);
  const RowFactors factors(alone ? block_max(most) : lane_max(most, lanes), kLargest<Q>);
  if (lane == 0 && units > 0) p.scales[row] = factors.widen;
  uint8_t* q = static_cast<uint8_t*>(p.q) + at;
#pragma unroll
  for (int k = 0; k < kKeep; ++k) {
    if (lane + k * lanes >= units) break;
    float v[kPer];
    values(k, v);
    store_narrow<Q>(q + k * step, v, factors);
  }
}

// Rows of any width; a block has one.
template <typename T, typename Q>
__global__ void __launch_bounds__(kMostThreads)
    any_rows_kernel(const __grid_constant__ QuantizeRowsParams p) {
  wait_for_earlier();
  const int64_t row = blockIdx.x, base = row * p.width;
  const T* x = static_cast<const T*>(p.x) + base;
  const T* b = p.b != nullptr ? static_cast<const T*>(p.b) + base : nullptr;
  uint8_t* q = static_cast<uint8_t*>(p.q) + base;
  const int64_t step = int64_t{blockDim.x} * kPer, first = int64_t{threadIdx.x} * kPer;
  const auto load = [&](int64_t at, float(&v)[kPer]) {
#pragma unroll
    for (int i = 0; i < kPer; ++i) v[i] = at + i < p.width ? to_float(x[at + i]) : 0.f;
    if (p.rotate) rotate(v);
    if (p.activation != Activation::kNone) activate_eight<Known::kAny>(p, v);
    if (b == nullptr) return;
#pragma unroll
    for (int i = 0; i < kPer; ++i) v[i] *= at + i < p.width ? to_float(b[at + i]) : 0.f;
  };
  float most = 0;
  for (int64_t at = first; at < p.width; at += step) {
    float v[kPer];
    load(at, v);
#pragma unroll
    for (int i = 0; i < kPer; ++i)
      if (at + i < p.width) most = larger(most, v[i]);  // beyond the row a sigmoid is not 0
  }
  const RowFactors factors(block_max(nan_as_infinity(most)), kLargest<Q>);
  if (threadIdx.x == 0) p.scales[row] = factors.widen;
  for (int64_t at = first; at < p.width; at += step) {
    float v[kPer];
    load(at, v);
    for (int i = 0; i < kPer && at + i < p.width; ++i)
      q[at + i] = factors.broken ? 0 : narrow(__fmul_rn(v[i], factors.narrow), Q());
  }
}

// keep 0: rows are read again.
struct Layout {
  int lanes, keep;
  LaunchShape shape;

  Layout(const QuantizeRowsParams& p, int most) {
    constexpr int64_t kFew = 1 << 17;  // threads that leave a device idle
    constexpr int kThreads = 128, kBlockKeeps = 4;
    const int64_t units = p.width % kPer == 0 ? p.width / kPer : 0;
    lanes = 1;
    while (lanes < kWarp && int64_t{lanes} * 4 < units) lanes *= 2;
    const bool few = p.rows * lanes < kFew && units > kWarp;
    if (units > int64_t{lanes} * most || few || units == 0) {
      const int64_t wanted = (p.width + kPer - 1) / kPer, each = few ? 1 : kBlockKeeps;
      const int64_t warps = (wanted + each * kWarp - 1) / (each * kWarp);
      lanes = static_cast<int>(std::clamp<int64_t>(warps, 2, kMostThreads / kWarp)) * kWarp;
    }
    const int64_t rounds = (units + lanes - 1) / lanes;
    keep = rounds <= (lanes > kWarp ? kBlockKeeps : most) ? static_cast<int>(rounds) : 0;
    const int threads = std::max(lanes, kThreads);
    const int64_t a_block = lanes > kWarp ? 1 : threads / lanes;
    shape = {.blocks = static_cast<unsigned>((p.rows + a_block - 1) / a_block),
             .threads = static_cast<unsigned>(lanes > kWarp ? lanes : threads)};
  }
};

template <typename T, typename Q, Known kKnown, bool kTwo>
cudaError_t launch_kept(const QuantizeRowsParams& p, cudaStream_t stream) {
  constexpr bool kActivates = kKnown != Known::kPlain && kKnown != Known::kTurned;
  const Layout layout(p, kActivates ? 4 : 6);
  const auto with = [&](auto kernel) {
    return launch_early(kernel, layout.shape, stream, p, layout.lanes);
  };
  switch (layout.keep) {
    case 0: return launch_early(any_rows_kernel<T, Q>, layout.shape, stream, p);
    case 1: return with(kept_rows_kernel<T, Q, kKnown, kTwo, 1>);
    case 2: return with(kept_rows_kernel<T, Q, kKnown, kTwo, 2>);
    case 3: return with(kept_rows_kernel<T, Q, kKnown, kTwo, 3>);
    case 4: return with(kept_rows_kernel<T, Q, kKnown, kTwo, 4>);
    default:
      if constexpr (!kActivates) return with(kept_rows_kernel<T, Q, kKnown, kTwo, 6>);
      return cudaErrorInvalidValue;
  }
}

template <typename T, typename Q>
cudaError_t launch_known(const QuantizeRowsParams& p, cudaStream_t stream) {
  const bool two = p.b != nullptr;
  if (p.activation == Activation::kNone && !two)
    return p.rotate ? launch_kept<T, Q, Known::kTurned, false>(p, stream)
                    : launch_kept<T, Q, Known::kPlain, false>(p, stream);
  if constexpr (sizeof(T) == 2) {
    if (p.activation == Activation::kGeluTanh)
      return two ? launch_kept<T, Q, Known::kGeluTanh, true>(p, stream)
                 : launch_kept<T, Q, Known::kGeluTanh, false>(p, stream);
    if (p.activation == Activation::kSilu)
      return two ? launch_kept<T, Q, Known::kSilu, true>(p, stream)
                 : launch_kept<T, Q, Known::kSilu, false>(p, stream);
  }
  return launch_kept<T, Q, Known::kAny, true>(p, stream);
}

}  // namespace

cudaError_t quantize_rows(const QuantizeRowsParams& p, cudaStream_t stream) {
  if (p.rows == 0) return cudaSuccess;
  if (p.rows > INT32_MAX) return cudaErrorInvalidValue;
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    return p.out == DType::kI8 ? launch_known<T, int8_t>(p, stream)
                               : launch_known<T, __nv_fp8_e4m3>(p, stream);
  });
}

}  // namespace zoetrope::cuda
