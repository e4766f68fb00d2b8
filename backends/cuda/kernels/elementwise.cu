#include "backends/cuda/kernels/elementwise.h"

#include <type_traits>

#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/any_dtype.cuh"
#include "backends/cuda/kernels/chunk.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256;

unsigned blocks_for(int64_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

__device__ int64_t global_id() { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

__device__ float square_root(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Accurate to a few ulps of f32.
template <Unary kOp>
__device__ float apply(float x) {
  switch (kOp) {
    case Unary::kNeg: return -x;
    case Unary::kAbs: return fabsf(x);
    case Unary::kExp: return expf(x);
    case Unary::kLog: return logf(x);
    case Unary::kSqrt: return square_root(x);
    case Unary::kRsqrt: return rsqrtf(x);
    case Unary::kSin: return sinf(x);
    case Unary::kCos: return cosf(x);
    case Unary::kTanh: return tanhf(x);
    case Unary::kSigmoid: return logistic(x);
    case Unary::kSilu: return x * logistic(x);
    case Unary::kGeluTanh: return gelu_tanh(x);
    case Unary::kGelu: return gelu_erf(x);
    case Unary::kRelu: return x < 0.f ? 0.f : x;  // NaN stays
    case Unary::kFloor: return floorf(x);
  }
  return x;
}

// A kernel an op: with 16 bits an element, 40 instructions for one take as long as its bytes.
template <Unary kOp, typename T>
__global__ void __launch_bounds__(kThreads) unary_kernel(const T* x, T* y, int64_t count) {
  constexpr int N = kChunk<T>;
  const int64_t i = global_id() * N;
  if (i >= count) return;
  if (count - i < N) {
#pragma unroll 1
    for (int64_t j = i; j < count; ++j) y[j] = from_float<T>(apply<kOp>(to_float(x[j])));
    return;
  }
  float v[N];
  load_chunk(x + i, v);
  if constexpr (kOp == Unary::kSin || kOp == Unary::kCos) {
    // Not unrolled: long, with a path for large angles.
#pragma unroll 1
    for (int e = 0; e < N; ++e) {
      float one = v[0];
#pragma unroll
      for (int k = 0; k + 1 < N; ++k) v[k] = v[k + 1];
      v[N - 1] = apply<kOp>(one);
    }
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = apply<kOp>(v[e]);
  }
  store_chunk(y + i, v);
}

template <typename From, typename To>
__global__ void __launch_bounds__(kThreads) cast_kernel(const From* x, To* y, int64_t count) {
  constexpr int N = sizeof(From) < sizeof(To) ? kChunk<From> : kChunk<To>;
  const int64_t i = global_id() * N;
  if (i >= count) return;
  if (count - i < N) {
    for (int64_t j = i; j < count; ++j) y[j] = from_float<To>(to_float(x[j]));
    return;
  }
  float v[N];
  load_chunk(x + i, v);
  store_chunk(y + i, v);
}

__global__ void __launch_bounds__(kThreads)
    cast_any_kernel(DType from, const void* x, DType to, void* y, int64_t count) {
  const int64_t i = global_id();
  if (i >= count) return;
  if (from == DType::kI64 && to == DType::kI64)  // beyond what a double holds
    static_cast<int64_t*>(y)[i] = static_cast<const int64_t*>(x)[i];
  else
    store_any(to, y, i, load_any(from, x, i));
}

// A NaN in either operand of min and max is the result.
__device__ float apply(Binary op, float a, float b) {
  switch (op) {
    case Binary::kAdd: return a + b;
    case Binary::kSub: return a - b;
    case Binary::kMul: return a * b;
    case Binary::kDiv: return a / b;
    case Binary::kMin: return isnan(a) ? a : isnan(b) ? b : a < b ? a : b;
    case Binary::kMax: return isnan(a) ? a : isnan(b) ? b : a > b ? a : b;
    case Binary::kPow: return powf(a, b);
    case Binary::kLess: return a < b;
    case Binary::kEqual: return a == b;
  }
  return a;
}

__device__ bool compares(Binary op) { return op == Binary::kLess || op == Binary::kEqual; }

template <typename T>
__device__ void store_binary(const BinaryParams& p, int64_t i, float v) {
  if (compares(p.op))
    static_cast<uint8_t*>(p.out)[i] = v != 0.f;
  else
    static_cast<T*>(p.out)[i] = from_float<T>(v);
}

// N elements of the last dimension a thread.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads) binary_kernel(const BinaryParams p) {
  const int64_t i = global_id() * N;
  if (i >= p.count) return;
  int64_t at[2];
  p.walk.offsets(static_cast<uint64_t>(i), at);
  const T *a = static_cast<const T*>(p.a) + at[0], *b = static_cast<const T*>(p.b) + at[1];
  const int last = p.walk.rank - 1;
  const int64_t step_a = p.walk.strides[0][last], step_b = p.walk.strides[1][last];
  if (N == 1 || p.count - i < N || compares(p.op)) {
    const int64_t n = p.count - i < N ? p.count - i : N;
    for (int64_t j = 0; j < n; ++j)
      store_binary<T>(p, i + j, apply(p.op, to_float(a[j * step_a]), to_float(b[j * step_b])));
    return;
  }
  float x[N], y[N];
  if (step_a != 0) {
    load_chunk(a, x);
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e) x[e] = to_float(*a);
  }
  if (step_b != 0) {
    load_chunk(b, y);
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e) y[e] = to_float(*b);
  }
  if (p.op == Binary::kAdd) {
#pragma unroll
    for (int e = 0; e < N; ++e) x[e] += y[e];
  } else if (p.op == Binary::kMul) {
#pragma unroll
    for (int e = 0; e < N; ++e) x[e] *= y[e];
  } else {
#pragma unroll 1
    for (int e = 0; e < N; ++e) {
      const float one = apply(p.op, x[0], y[0]);
#pragma unroll
      for (int k = 0; k + 1 < N; ++k) x[k] = x[k + 1], y[k] = y[k + 1];
      x[N - 1] = one;
    }
  }
  store_chunk(static_cast<T*>(p.out) + i, x);
}

__device__ int64_t apply_integers(Binary op, int64_t a, int64_t b) {
  switch (op) {
    case Binary::kAdd: return a + b;
    case Binary::kSub: return a - b;
    case Binary::kMul: return a * b;
    case Binary::kMin: return a < b ? a : b;
    case Binary::kMax: return a > b ? a : b;
    case Binary::kLess: return a < b;
    default: return a == b;
  }
}

// Sums saturate; those of 64 bits are taken as they come.
template <typename T, int64_t kLeast = 0, int64_t kMost = 0>
__global__ void __launch_bounds__(kThreads) integers_kernel(const BinaryParams p) {
  const int64_t i = global_id();
  if (i >= p.count) return;
  int64_t at[2];
  p.walk.offsets(static_cast<uint64_t>(i), at);
  const int64_t v =
      apply_integers(p.op, static_cast<const T*>(p.a)[at[0]], static_cast<const T*>(p.b)[at[1]]);
  if (compares(p.op))
    static_cast<uint8_t*>(p.out)[i] = v != 0;
  else
    static_cast<T*>(p.out)[i] = static_cast<T>(kLeast == kMost || (kLeast <= v && v <= kMost) ? v
                                               : v < kLeast ? kLeast
                                                            : kMost);
}

template <int kBytes>
__global__ void __launch_bounds__(kThreads) select_kernel(const SelectParams p) {
  using Word = typename Raw<kBytes>::Type;
  const int64_t i = global_id();
  if (i >= p.count) return;
  int64_t at[3];
  p.walk.offsets(static_cast<uint64_t>(i), at);
  static_cast<Word*>(p.out)[i] = p.condition[at[0]] ? static_cast<const Word*>(p.a)[at[1]]
                                                    : static_cast<const Word*>(p.b)[at[2]];
}

__global__ void __launch_bounds__(kThreads)
    source_kernel(DType dtype, void* out, int64_t count, double start, double step) {
  const int64_t i = global_id();
  if (i < count) store_any(dtype, out, i, start + step * static_cast<double>(i));
}

bool is_compute(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// Calls body with a type whose `value` is the op.
template <int kFirst = 0, typename Body>
void with_unary(Unary op, Body&& body) {
  constexpr auto kOp = static_cast<Unary>(kFirst);
  if (op == kOp) return body(std::integral_constant<Unary, kOp>());
  if constexpr (kFirst + 1 < ops::kUnaryCount) with_unary<kFirst + 1>(op, body);
}

template <typename T>
void launch_binary(const BinaryParams& p, cudaStream_t stream) {
  constexpr int N = kChunk<T>;
  if (p.chunk >= N)
    binary_kernel<T, N><<<blocks_for((p.count + N - 1) / N), kThreads, 0, stream>>>(p);
  else
    binary_kernel<T, 1><<<blocks_for(p.count), kThreads, 0, stream>>>(p);
}

}  // namespace

cudaError_t unary(Unary op, DType dtype, const void* x, void* y, int64_t count,
                  cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  with_unary(op, [&](auto o) {
    with_compute_type(dtype, [&](auto t) {
      using T = decltype(t);
      const int64_t units = (count + kChunk<T> - 1) / kChunk<T>;
      unary_kernel<decltype(o)::value><<<blocks_for(units), kThreads, 0, stream>>>(
          static_cast<const T*>(x), static_cast<T*>(y), count);
    });
  });
  return cudaGetLastError();
}

cudaError_t cast(DType from, const void* x, DType to, void* y, int64_t count, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  if (!is_compute(from) || !is_compute(to)) {
    cast_any_kernel<<<blocks_for(count), kThreads, 0, stream>>>(from, x, to, y, count);
    return cudaGetLastError();
  }
  with_compute_type(from, [&](auto f) {
    with_compute_type(to, [&](auto t) {
      using From = decltype(f);
      using To = decltype(t);
      constexpr int N = sizeof(From) < sizeof(To) ? kChunk<From> : kChunk<To>;
      cast_kernel<<<blocks_for((count + N - 1) / N), kThreads, 0, stream>>>(
          static_cast<const From*>(x), static_cast<To*>(y), count);
    });
  });
  return cudaGetLastError();
}

cudaError_t binary(const BinaryParams& p, cudaStream_t stream) {
  if (p.count == 0) return cudaSuccess;
  const unsigned blocks = blocks_for(p.count);
  switch (p.dtype) {
    case DType::kI32:
      integers_kernel<int32_t, -0x7fffffffLL - 1, 0x7fffffffLL><<<blocks, kThreads, 0, stream>>>(p);
      break;
    case DType::kI64: integers_kernel<int64_t><<<blocks, kThreads, 0, stream>>>(p); break;
    case DType::kI8: integers_kernel<int8_t, -128, 127><<<blocks, kThreads, 0, stream>>>(p); break;
    case DType::kU8: integers_kernel<uint8_t, 0, 255><<<blocks, kThreads, 0, stream>>>(p); break;
    case DType::kBool: integers_kernel<uint8_t, 0, 1><<<blocks, kThreads, 0, stream>>>(p); break;
    default: with_compute_type(p.dtype, [&](auto t) { launch_binary<decltype(t)>(p, stream); });
  }
  return cudaGetLastError();
}

cudaError_t select(const SelectParams& p, cudaStream_t stream) {
  if (p.count == 0) return cudaSuccess;
  const unsigned blocks = blocks_for(p.count);
  switch (p.element_bytes) {
    case 1: select_kernel<1><<<blocks, kThreads, 0, stream>>>(p); break;
    case 2: select_kernel<2><<<blocks, kThreads, 0, stream>>>(p); break;
    case 4: select_kernel<4><<<blocks, kThreads, 0, stream>>>(p); break;
    default: select_kernel<8><<<blocks, kThreads, 0, stream>>>(p);
  }
  return cudaGetLastError();
}

cudaError_t source(DType dtype, void* out, int64_t count, double start, double step,
                   cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  source_kernel<<<blocks_for(count), kThreads, 0, stream>>>(dtype, out, count, start, step);
  return cudaGetLastError();
}

}  // namespace zoetrope::cuda
