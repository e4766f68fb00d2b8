#include "backends/cuda/kernels/fused.h"

#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/rows.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256;

unsigned blocks_for(int64_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    gated_residual_kernel(const GatedResidualParams p, Divider units, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const auto row = static_cast<int64_t>(units.quotient(static_cast<uint64_t>(i)));
  const int64_t column = (i - row * static_cast<int64_t>(units.d)) * N;
  float x[N], y[N], g[N];
  load_chunk(static_cast<const T*>(p.x) + i * N, x);
  load_chunk(static_cast<const T*>(p.y) + i * N, y);
  const Side gate{p.gate.data, p.gate.dtype};
  int64_t at[2];
  p.gating.offsets(row, at);
  if (p.gating.moves[0]) {
    gate.load(at[0] + column, g);
  } else {
    g[0] = gate.one(at[0]);
#pragma unroll
    for (int e = 1; e < N; ++e) g[e] = g[0];
  }
#pragma unroll
  for (int e = 0; e < N; ++e) x[e] += g[e] * y[e];
  store_chunk(static_cast<T*>(p.out) + i * N, x);
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    glu_kernel(const GluParams p, Divider units, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const auto row = static_cast<int64_t>(units.quotient(static_cast<uint64_t>(i)));
  const int64_t at = row * p.stride + (i - row * static_cast<int64_t>(units.d)) * N;
  float a[N], b[N];
  load_chunk(static_cast<const T*>(p.a) + at, a);
  load_chunk(static_cast<const T*>(p.b) + at, b);
#pragma unroll
  for (int e = 0; e < N; ++e) a[e] = activate(p.activation, a[e]) * b[e];
  store_chunk(static_cast<T*>(p.out) + i * N, a);
}

// M pairs: 2M elements side by side, or M in each half of the head.
template <typename T, int M, int kKeep>
__global__ void norm_rope_kernel(const NormRopeParams p, int lanes) {
  const RowLane at(lanes);
  const int64_t rows = p.batch * p.tokens * (p.full ? 1 : p.heads);
  const bool live = at.row < rows;
  const int half = static_cast<int>(p.dim / 2), a_head = half / M;  // units of a head
  const int units = live ? (p.full ? static_cast<int>(p.heads) : 1) * a_head : 0;
  const int64_t token_row = p.full ? at.row : at.row / p.heads;
  const int first_head = p.full ? 0 : static_cast<int>(at.row - token_row * p.heads);
  const int64_t sample = token_row / p.tokens, token = token_row - sample * p.tokens;
  const int64_t base = at.row * (p.full ? p.heads * p.dim : p.dim);
  const T* x = static_cast<const T*>(p.x) + base;
  T* out = static_cast<T*>(p.out) + base;
  const Side weight{p.weight.data, p.weight.dtype}, cos{p.cos.data, p.cos.dtype},
      sin{p.sin.data, p.sin.dtype};

  // Where the pairs of unit u begin in the row, and the element of a pair (e even or odd).
  const auto place = [&](int u) {
    const int head = u / a_head, pair = (u - head * a_head) * M;
    return head * static_cast<int>(p.dim) + (p.split ? pair : 2 * pair);
  };
  const auto load = [&](int u, float(&a)[M], float(&b)[M]) {
    const T* from = x + place(u);
    if (p.split) {
      load_chunk(from, a);
      load_chunk(from + half, b);
    } else {
      float both[2 * M];
      load_chunk(from, both);
#pragma unroll
      for (int i = 0; i < M; ++i) a[i] = both[2 * i], b[i] = both[2 * i + 1];
    }
  };

  float kept[kKeep > 0 ? kKeep : 1][2][M];
  float factor = 1;
  if (p.norm) {
    float squares = 0;
    each_unit<kKeep>(at, units, [&](int u, int k) {
      float a[M], b[M];
      load(u, a, b);
#pragma unroll
      for (int i = 0; i < M; ++i) {
        squares += a[i] * a[i] + b[i] * b[i];
        if constexpr (kKeep > 0) kept[k][0][i] = a[i], kept[k][1][i] = b[i];
      }
    });
    const auto width = static_cast<float>(p.full ? p.heads * p.dim : p.dim);
    factor = 1.f / sqrtf(row_sum(squares, lanes) / width + p.epsilon);
  }
  each_unit<kKeep>(at, units, [&](int u, int k) {
    float a[M], b[M], c[M], s[M];
    if (kKeep > 0 && p.norm) {
#pragma unroll
      for (int i = 0; i < M; ++i) a[i] = kept[k][0][i], b[i] = kept[k][1][i];
    } else {
      load(u, a, b);
    }
    const int head = u / a_head, pair = (u - head * a_head) * M, to = place(u);
    if (p.norm) {
      float wa[M], wb[M];
      if (!weight) {
#pragma unroll
        for (int i = 0; i < M; ++i) wa[i] = wb[i] = 1;
      } else if (p.split) {
        weight.load(to, wa);
        weight.load(to + half, wb);
      } else {
        float both[2 * M];
        weight.load(to, both);
#pragma unroll
        for (int i = 0; i < M; ++i) wa[i] = both[2 * i], wb[i] = both[2 * i + 1];
      }
#pragma unroll
      for (int i = 0; i < M; ++i) a[i] *= factor * wa[i], b[i] *= factor * wb[i];
    }
    const int64_t h = first_head + head;
    cos.load(sample * p.cos_steps[0] + token * p.cos_steps[1] + h * p.cos_steps[2] + pair, c);
    sin.load(sample * p.sin_steps[0] + token * p.sin_steps[1] + h * p.sin_steps[2] + pair, s);
    float both[2 * M], low[M], high[M];
#pragma unroll
    for (int i = 0; i < M; ++i) {
      low[i] = both[2 * i] = a[i] * c[i] - b[i] * s[i];
      high[i] = both[2 * i + 1] = a[i] * s[i] + b[i] * c[i];
    }
    if (p.split) {
      store_chunk(out + to, low);
      store_chunk(out + to + half, high);
    } else {
      store_chunk(out + to, both);
    }
  });
}

// The widest chunk of T that divides `width`.
template <typename T, typename Body>
void with_chunk(int64_t width, Body&& body) {
  if (width % kChunk<T> == 0)
    body(Keep<kChunk<T>>());
  else
    body(Keep<1>());
}

}  // namespace

cudaError_t gated_residual(const GatedResidualParams& p, cudaStream_t stream) {
  if (p.rows * p.width == 0) return cudaSuccess;
  with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    with_chunk<T>(p.width, [&](auto chunk) {
      constexpr int N = decltype(chunk)::value;
      const int64_t units = p.width / N, count = p.rows * units;
      gated_residual_kernel<T, N>
          <<<blocks_for(count), kThreads, 0, stream>>>(p, Divider(units), count);
    });
  });
  return cudaGetLastError();
}

cudaError_t glu(const GluParams& p, cudaStream_t stream) {
  if (p.rows * p.width == 0) return cudaSuccess;
  with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    with_chunk<T>(p.width, [&](auto chunk) {
      constexpr int N = decltype(chunk)::value;
      const int64_t units = p.width / N, count = p.rows * units;
      glu_kernel<T, N><<<blocks_for(count), kThreads, 0, stream>>>(p, Divider(units), count);
    });
  });
  return cudaGetLastError();
}

cudaError_t norm_rope(const NormRopeParams& p, cudaStream_t stream) {
  const int64_t rows = p.batch * p.tokens * (p.full ? 1 : p.heads);
  if (rows == 0 || p.dim == 0) return cudaSuccess;
  with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&](auto pairs) {
      constexpr int M = decltype(pairs)::value;
      const RowPlan plan = plan_rows(rows, (p.full ? p.heads : 1) * (p.dim / 2 / M));
      with_keep(plan.keep, [&](auto keep) {
        constexpr int kKeep = decltype(keep)::value;
        norm_rope_kernel<T, M, kKeep><<<plan.blocks, plan.threads, 0, stream>>>(p, plan.lanes);
      });
    };
    if (p.dim % 8 == 0)
      launch(Keep<4>());
    else
      launch(Keep<1>());
  });
  return cudaGetLastError();
}

}  // namespace zoetrope::cuda
