#include "backends/cuda/kernels/fused.h"

#include <type_traits>

#include "backends/cuda/kernels/activation.cuh"
#include "backends/cuda/kernels/launch.cuh"
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

// Rows among heads and tokens, and units among heads.
struct RopeDividers {
  Divider heads, tokens, a_head;
};

// Where rows and pairs of norm_rope stand: a row is all heads of a token, or one.
template <int M>
struct RopeRow {
  int half, a_head, heads;  // a_head: units of a head, M pairs each
  int64_t base, cos, sin;   // elements before the row, and before its first head's angles

  __device__ RopeRow(const NormRopeParams& p, int64_t row, bool full, const RopeDividers& by) {
    half = static_cast<int>(p.dim / 2);
    a_head = half / M;
    heads = full ? static_cast<int>(p.heads) : 1;
    const auto quotient = [](const Divider& divider, int64_t n) {
      return static_cast<int64_t>(divider.quotient(static_cast<uint64_t>(n)));
    };
    const int64_t token_row = full ? row : quotient(by.heads, row);
    const int64_t head = full ? 0 : row - token_row * p.heads;
    const int64_t sample = quotient(by.tokens, token_row), token = token_row - sample * p.tokens;
    base = row * heads * p.dim;
    cos = sample * p.cos_steps[0] + token * p.cos_steps[1] + head * p.cos_steps[2];
    sin = sample * p.sin_steps[0] + token * p.sin_steps[1] + head * p.sin_steps[2];
  }
};

// The pairs of 8 elements, which come from both halves of a head or side by side, and back.
template <int M>
__device__ void part(const float (&both)[2 * M], bool split, float (&a)[M], float (&b)[M]) {
#pragma unroll
  for (int i = 0; i < M; ++i) {
    a[i] = split ? both[i] : both[2 * i];
    b[i] = split ? both[M + i] : both[2 * i + 1];
  }
}
template <int M>
__device__ void join(const float (&a)[M], const float (&b)[M], bool split, float (&both)[2 * M]) {
#pragma unroll
  for (int i = 0; i < 2 * M; ++i)
    both[i] = split ? (i < M ? a[i % M] : b[i % M]) : (i % 2 == 0 ? a[i / 2] : b[i / 2]);
}

// 8 elements of T as read.
template <typename T>
struct Eight {
  static constexpr int kHalf = 4 * sizeof(T);
  using Word = typename Raw<kHalf>::Type;
  struct alignas(16) Both {
    Word halves[2];
  } both;

  __device__ void load(const T* low, const T* high, bool side_by_side) {
    if (kHalf == 8 && side_by_side) {
      both = *reinterpret_cast<const Both*>(low);
      return;
    }
    both.halves[0] = *reinterpret_cast<const Word*>(low);
    both.halves[1] = *reinterpret_cast<const Word*>(high);
  }
  __device__ void values(float (&to)[8]) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) unpack_word<T, 4>(both.halves[h], to + 4 * h);
  }
};

constexpr int kMostThreads = 256;

// v·factor·weight, rotated: 4 pairs of T at `to` and, from both halves of a head, `apart`.
template <typename T>
__device__ void rotate(const Eight<T>& x, float factor, const float (&w)[2][4], const float (&c)[4],
                       const float (&s)[4], bool split, T* to, int apart) {
  constexpr int M = 4;
  float v[8], a[M], b[M], low[M], high[M];
  x.values(v);
#pragma unroll
  for (int i = 0; i < 8; ++i) v[i] *= factor * w[i / M][i % M];
  part<M>(v, split, a, b);
#pragma unroll
  for (int i = 0; i < M; ++i) {
    low[i] = a[i] * c[i] - b[i] * s[i];
    high[i] = a[i] * s[i] + b[i] * c[i];
  }
  join<M>(low, high, split, v);
  if (split) {
    const float(&halves)[2][M] = reinterpret_cast<const float(&)[2][M]>(v);
    store_chunk(to, halves[0]);
    store_chunk(to + apart, halves[1]);
  } else {
    store_chunk(to, v);
  }
}

template <typename T>
__device__ float sum_of_squares(const Eight<T>& x) {
  float v[8], parts[2] = {0, 0};
  x.values(v);
#pragma unroll
  for (int i = 0; i < 8; ++i) parts[i % 2] += v[i] * v[i];
  return parts[0] + parts[1];
}

// Whole tokens of 16-bit elements in registers, 4 pairs a unit, normalised over all heads or over
// each (not `full`). The lanes are a multiple of a head's units, so that a lane has the same angles
// in every head: they are read once. The weight of S, angles in f32.
template <typename T, typename S, int kKeep>
__global__ void __launch_bounds__(kMostThreads, 2)
    token_rope_kernel(const NormRopeParams p, int lanes, const RopeDividers by) {
  constexpr int M = 4;
  wait_for_earlier();
  const RowLane at(lanes);
  const bool live = at.row < p.batch * p.tokens;
  const RopeRow<M> row(p, live ? at.row : 0, true, by);
  const int units = live ? row.heads * row.a_head : 0, apart = p.split ? row.half : M;
  const int pair = (at.lane & (row.a_head - 1)) * M;
  const int first = p.split ? at.lane * 8 - pair : at.lane * 8, step = lanes * 8;
  float c[M] = {}, s[M] = {};
  if (at.lane < units) {
    load_chunk(static_cast<const float*>(p.cos.data) + row.cos + pair, c);
    load_chunk(static_cast<const float*>(p.sin.data) + row.sin + pair, s);
  }
  const T* x = static_cast<const T*>(p.x) + row.base + first;
  Eight<T> kept[kKeep];
#pragma unroll
  for (int k = 0; k < kKeep; ++k) {
    kept[k] = {};
    if (at.lane + k * lanes < units) kept[k].load(x + k * step, x + k * step + apart, !p.split);
  }
  const bool by_head = p.norm && !p.full;
  const auto mean = [&](float squares, int64_t count) {
    return rsqrtf(squares / static_cast<float>(count) + p.epsilon);
  };
  float factor[kKeep];
#pragma unroll
  for (int k = 0; k < kKeep; ++k) factor[k] = p.norm ? sum_of_squares(kept[k]) : 1;
  if (by_head) {
#pragma unroll
    for (int k = 0; k < kKeep; ++k) factor[k] = mean(row_sum(factor[k], row.a_head), p.dim);
  } else if (p.norm) {
    float squares = 0;
#pragma unroll
    for (int k = 0; k < kKeep; ++k) squares += factor[k];
    squares = mean(row_sum(squares, lanes), p.heads * p.dim);
#pragma unroll
    for (int k = 0; k < kKeep; ++k) factor[k] = squares;
  }
  T* out = static_cast<T*>(p.out) + row.base + first;
  const auto finish = [&](auto weighted) {
    const S* weight = static_cast<const S*>(p.weight.data);
    if constexpr (weighted()) weight += by_head ? (p.split ? pair : 2 * pair) : first;
    const int weight_step = by_head ? 0 : step;
#pragma unroll
    for (int k = 0; k < kKeep; ++k) {
      if (at.lane + k * lanes >= units) continue;
      float w[2][M] = {{1, 1, 1, 1}, {1, 1, 1, 1}};
      if constexpr (weighted()) {
        load_chunk(weight + k * weight_step, w[0]);
        load_chunk(weight + k * weight_step + apart, w[1]);
      }
      rotate(kept[k], factor[k], w, c, s, p.split, out + k * step, apart);
    }
  };
  if (p.weight.data != nullptr) return finish(std::true_type());
  finish(std::false_type());
}

// Rows of any number of units a head, and angles of each head: 4 pairs a unit, rows in registers,
// the weight of S, angles in f32.
template <typename T, typename S, int kKeep>
__global__ void __launch_bounds__(kMostThreads, 2)
    kept_norm_rope_kernel(const NormRopeParams p, int lanes, const RopeDividers by) {
  constexpr int M = 4, kGroup = kTogether<kKeep>;
  wait_for_earlier();
  const RowLane at(lanes);
  const bool live = at.row < p.batch * p.tokens * (p.full ? 1 : p.heads);
  const RopeRow<M> row(p, live ? at.row : 0, p.full, by);
  const int units = live ? row.heads * row.a_head : 0, apart = p.split ? row.half : M;
  const T* x = static_cast<const T*>(p.x) + row.base;

  Eight<T> kept[kKeep];
  int place[kKeep], angle[kKeep];  // elements before the unit in the row and in the tables
#pragma unroll
  for (int k = 0; k < kKeep; ++k) {
    const int u = at.lane + k * lanes;
    const auto head = static_cast<int>(by.a_head.quotient(static_cast<uint32_t>(u)));
    const int pair = (u - head * row.a_head) * M;
    place[k] = head * static_cast<int>(p.dim) + (p.split ? pair : 2 * pair);
    angle[k] = pair;
    if (p.full && (p.cos_steps[2] | p.sin_steps[2]) != 0) angle[k] |= head << 16;
    kept[k] = {};
    if (u < units) kept[k].load(x + place[k], x + place[k] + apart, !p.split);
  }
  float factor = 1;
  if (p.norm) {
    float squares = 0;
#pragma unroll
    for (int k = 0; k < kKeep; ++k) squares += sum_of_squares(kept[k]);
    const auto width = static_cast<float>(row.heads * p.dim);
    factor = rsqrtf(row_sum(squares, lanes) / width + p.epsilon);
  }
  T* out = static_cast<T*>(p.out) + row.base;
  const float *cos = static_cast<const float*>(p.cos.data) + row.cos,
              *sin = static_cast<const float*>(p.sin.data) + row.sin;
#pragma unroll
  for (int first = 0; first < kKeep; first += kGroup) {
    float w[kGroup][2][M], c[kGroup][M], s[kGroup][M];
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      if (at.lane + (first + k) * lanes >= units) continue;
      const int64_t head = angle[first + k] >> 16, pair = angle[first + k] & 0xffff;
      load_chunk(cos + head * p.cos_steps[2] + pair, c[k]);
      load_chunk(sin + head * p.sin_steps[2] + pair, s[k]);
      const S* weight = static_cast<const S*>(p.weight.data) + place[first + k];
      if (p.weight.data != nullptr) {
        load_chunk(weight, w[k][0]);
        load_chunk(weight + apart, w[k][1]);
      } else {
#pragma unroll
        for (int i = 0; i < M; ++i) w[k][0][i] = w[k][1][i] = 1;
      }
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      if (at.lane + (first + k) * lanes >= units) continue;
      rotate(kept[first + k], factor, w[k], c[k], s[k], p.split, out + place[first + k], apart);
    }
  }
}

// Rows of any size, weights and angles of any dtype: M pairs a unit, x is read again.
template <typename T, int M>
__global__ void norm_rope_kernel(const NormRopeParams p, int lanes, const RopeDividers by) {
  wait_for_earlier();
  const RowLane at(lanes);
  const bool live = at.row < p.batch * p.tokens * (p.full ? 1 : p.heads);
  const RopeRow<M> row(p, live ? at.row : 0, p.full, by);
  const int units = live ? row.heads * row.a_head : 0, apart = p.split ? row.half : M;
  const T* x = static_cast<const T*>(p.x) + row.base;
  T* out = static_cast<T*>(p.out) + row.base;
  const Side weight{p.weight.data, p.weight.dtype}, cos{p.cos.data, p.cos.dtype},
      sin{p.sin.data, p.sin.dtype};
  // M elements at `from` and M that stand `apart` from them.
  const auto both = [&](auto&& load, int64_t from, float(&to)[2 * M]) {
    float low[M], high[M];
    load(from, low);
    load(from + apart, high);
#pragma unroll
    for (int i = 0; i < M; ++i) to[i] = low[i], to[M + i] = high[i];
  };
  const auto from_x = [&](int64_t from, float(&to)[M]) { load_chunk(x + from, to); };
  const auto from_weight = [&](int64_t from, float(&to)[M]) { weight.load(from, to); };
  const auto place = [&](int u, int* head, int* pair) {
    *head = u / row.a_head;
    *pair = (u - *head * row.a_head) * M;
    return *head * static_cast<int>(p.dim) + (p.split ? *pair : 2 * *pair);
  };
  float factor = 1;
  if (p.norm) {
    float squares = 0;
    each_unit<0>(at, units, [&](int u, int) {
      int head, pair;
      float v[2 * M];
      both(from_x, place(u, &head, &pair), v);
#pragma unroll
      for (int i = 0; i < 2 * M; ++i) squares += v[i] * v[i];
    });
    const auto width = static_cast<float>(row.heads * p.dim);
    factor = rsqrtf(row_sum(squares, lanes) / width + p.epsilon);
  }
  each_unit<0>(at, units, [&](int u, int) {
    int head, pair;
    float v[2 * M], w[2 * M], a[M], b[M], c[M], s[M], low[M], high[M];
    const int64_t to = place(u, &head, &pair);
    both(from_x, to, v);
    if (weight) {
      both(from_weight, to, w);
#pragma unroll
      for (int i = 0; i < 2 * M; ++i) v[i] *= w[i];
    }
    part<M>(v, p.split, a, b);
    cos.load(row.cos + head * p.cos_steps[2] + pair, c);
    sin.load(row.sin + head * p.sin_steps[2] + pair, s);
#pragma unroll
    for (int i = 0; i < M; ++i) {
      low[i] = factor * (a[i] * c[i] - b[i] * s[i]);
      high[i] = factor * (a[i] * s[i] + b[i] * c[i]);
    }
    join<M>(low, high, p.split, v);
#pragma unroll
    for (int i = 0; i < M; ++i) low[i] = v[i], high[i] = v[M + i];
    store_chunk(out + to, low);
    store_chunk(out + to + apart, high);
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
  if (p.batch * p.tokens * p.heads * p.dim == 0) return cudaSuccess;
  const int pairs = p.dim % 8 == 0 ? 4 : 1;
  const int64_t a_head = p.dim / 2 / pairs;
  const bool f32_angles = p.cos.dtype == DType::kF32 && p.sin.dtype == DType::kF32;
  const bool same_angles = (p.cos_steps[2] | p.sin_steps[2]) == 0;
  const RopeDividers by{Divider(p.heads), Divider(p.tokens), Divider(a_head)};
  return with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    const DType weight = p.weight.data != nullptr ? p.weight.dtype : DType::kF32;
    const bool known = pairs == 4 && f32_angles && (weight == DType::kF32 || weight == p.dtype);
    RowLayout layout = lay_out_rows(p.batch * p.tokens, p.heads * a_head);
    // Not f32, which the compiler stores a word at a time there: a third of the rate.
    const bool tokens = sizeof(T) == 2 && known && same_angles && layout.keep > 0 &&
                        (a_head & (a_head - 1)) == 0 && layout.lanes % a_head == 0 &&
                        (p.full || a_head <= 32);
    // Without a sum lanes do not wait for one another: more of them.
    if (!tokens && !p.full)
      layout = lay_out_rows(p.batch * p.tokens * p.heads, a_head, p.norm ? 6 : 4);
    const LaunchShape shape{.blocks = layout.blocks,
                            .threads = static_cast<unsigned>(layout.threads)};
    const auto launch = [&](auto s) {
      using S = decltype(s);
      return with_keep(layout.keep, [&](auto keep) {
        constexpr int kKeep = decltype(keep)::value;
        if constexpr (sizeof(T) == 2)
          if (tokens)
            return launch_early(token_rope_kernel<T, S, kKeep>, shape, stream, p, layout.lanes, by);
        return launch_early(kept_norm_rope_kernel<T, S, kKeep>, shape, stream, p, layout.lanes, by);
      });
    };
    if (known && layout.keep > 0 && p.dim < 0x10000 && p.heads < 0x8000)
      return weight == DType::kF32 ? launch(float()) : launch(T());
    return launch_early(pairs == 4 ? norm_rope_kernel<T, 4> : norm_rope_kernel<T, 1>, shape, stream,
                        p, layout.lanes, by);
  });
}

}  // namespace zoetrope::cuda
