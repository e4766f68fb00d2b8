// Any dtype, dims and options, in f32 on FMA units. A block has 64 queries of a head; scores of 64
// keys are summed over parts of the dims, then the sums take 64 columns of the values at a time.
#include "backends/cuda/kernels/attention.cuh"
#include "backends/cuda/kernels/attention_tiles.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kRows = 64, kKeys = 64, kPart = 64;  // columns of values at once
constexpr int kDepth = 32;                         // dims at once
constexpr int kAcross = 16;                        // threads that share rows
// Rows apart in shared memory: four words further in banks, so that reads of 16 bytes do not clash.
constexpr int kDepthPitch = kDepth + 4, kPitch = kKeys + 4;

// `from`: kWidth columns from `first_column` of kCount tokens from `first`, as f32; zeros past
// `tokens` and `columns`.
template <int kThreads, int kCount, int kWidth, typename T>
__device__ void load(float* to, int pitch, const T* from, int64_t step, int64_t first,
                     int64_t tokens, int first_column, int columns, bool aligned) {
  constexpr int kFours = kWidth / 4;
#pragma unroll
  for (int n = 0; n < kCount * kFours / kThreads; ++n) {
    const int i = static_cast<int>(threadIdx.x) + n * kThreads;
    const int row = i / kFours, at = i % kFours * 4, column = first_column + at;
    const T* source = from + (first + row) * step + column;
    float x[4] = {};
    if (first + row < tokens) {
      if (aligned) {
        if (column < columns) load_chunk<4>(source, x);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (column + e < columns) x[e] = to_float(source[e]);
      }
    }
    *reinterpret_cast<float4*>(to + row * pitch + at) = make_float4(x[0], x[1], x[2], x[3]);
  }
}

// A thread has kOwn rows (those of its group, kGroups apart) and, of 64 keys or columns, four.
// kColumns: of the values, in registers.
template <typename T, int kColumns, int kOwn>
__global__ void __launch_bounds__(kRows / kOwn * kAcross)
    attention_kernel(const __grid_constant__ AttentionParams p, int across) {
  constexpr int kGroups = kRows / kOwn, kThreads = kGroups * kAcross, kParts = kColumns / kPart;
  __shared__ __align__(16) float q[kRows * kDepthPitch], kv[kKeys * kPitch],
      weights[kRows * kPitch];
  const AttentionTask task(p, across, kRows);
  const int group = static_cast<int>(threadIdx.x) / kAcross;
  const int lane = static_cast<int>(threadIdx.x) % kAcross;
  const int column = static_cast<int>(blockIdx.y) * kColumns;
  const T* from_q = task.queries_of<T>(p);
  const T* from_k = task.keys_of<T>(p);
  const T* from_v = task.values_of<T>(p);
  const auto aligned = [](const AttentionTensor& t, int dim) {
    return dim % 4 == 0 && t.token_step % 4 == 0 && t.offset % 4 == 0;
  };
  const Side mask{p.mask.data, p.mask.dtype};
  const int diagonal = static_cast<int>(p.keys - p.queries);
  const auto row_of = [&](int i) { return task.row + group + i * kGroups; };

  float most[kOwn], sum[kOwn], o[kParts][kOwn][4];
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    most[i] = -INFINITY, sum[i] = 0;
#pragma unroll
    for (int c = 0; c < kParts; ++c)
#pragma unroll
      for (int e = 0; e < 4; ++e) o[c][i][e] = 0;
  }
  for (int first = 0; first < task.end; first += kKeys) {
    float s[kOwn][4] = {};  // of keys first + lane + 16·j
    for (int depth = 0; depth < p.dim; depth += kDepth) {
      __syncthreads();
      load<kThreads, kRows, kDepth>(q, kDepthPitch, from_q, p.q.token_step, task.row, p.queries,
                                    depth, p.dim, aligned(p.q, p.dim));
      load<kThreads, kKeys, kDepth>(kv, kDepthPitch, from_k, p.k.token_step, first, task.keys,
                                    depth, p.dim, aligned(p.k, p.dim));
      __syncthreads();
#pragma unroll 2
      for (int d = 0; d < kDepth; d += 4) {
        float4 b[4];
#pragma unroll
        for (int j = 0; j < 4; ++j)
          b[j] = *reinterpret_cast<const float4*>(kv + (lane + kAcross * j) * kDepthPitch + d);
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
          const float4 a =
              *reinterpret_cast<const float4*>(q + (group + i * kGroups) * kDepthPitch + d);
#pragma unroll
          for (int j = 0; j < 4; ++j)
            s[i][j] =
                fmaf(a.w, b[j].w, fmaf(a.z, b[j].z, fmaf(a.y, b[j].y, fmaf(a.x, b[j].x, s[i][j]))));
        }
      }
    }
    float shrink[kOwn];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      float now = most[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int key = first + lane + kAcross * j, row = row_of(i);
        float& x = s[i][j];
        x *= p.scale;
        if (mask && row < p.queries && key < task.keys)
          x += mask.one(task.sample * p.mask_steps[0] + task.head * p.mask_steps[1] +
                        row * p.mask_steps[2] + key * p.mask_steps[3]);
        if (key >= task.keys || (p.causal && key > row + diagonal)) x = -INFINITY;
        now = fmaxf(now, x);
      }
#pragma unroll
      for (int step = kAcross / 2; step > 0; step /= 2)
        now = fmaxf(now, __shfl_xor_sync(~0u, now, step));
      const float around = now == -INFINITY ? 0 : now;
      shrink[i] = exp2_of((most[i] - around) * kLog2E);
      most[i] = now;
      sum[i] *= shrink[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float weight = exp2_of((s[i][j] - around) * kLog2E);
        sum[i] += weight;
        weights[(group + i * kGroups) * kPitch + lane + kAcross * j] = weight;
      }
    }
#pragma unroll
    for (int c = 0; c < kParts; ++c) {
      if (column + c * kPart >= p.v_dim) continue;
      __syncthreads();
      load<kThreads, kKeys, kPart>(kv, kPitch, from_v, p.v.token_step, first, task.keys,
                                   column + c * kPart, p.v_dim, aligned(p.v, p.v_dim));
      __syncthreads();
#pragma unroll
      for (int i = 0; i < kOwn; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) o[c][i][e] *= shrink[i];
#pragma unroll 2
      for (int key = 0; key < kKeys; key += 4) {
        float4 b[4];
#pragma unroll
        for (int j = 0; j < 4; ++j)
          b[j] = *reinterpret_cast<const float4*>(kv + (key + j) * kPitch + lane * 4);
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
          const float4 a =
              *reinterpret_cast<const float4*>(weights + (group + i * kGroups) * kPitch + key);
          const float factors[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            o[c][i][0] = fmaf(factors[j], b[j].x, o[c][i][0]);
            o[c][i][1] = fmaf(factors[j], b[j].y, o[c][i][1]);
            o[c][i][2] = fmaf(factors[j], b[j].z, o[c][i][2]);
            o[c][i][3] = fmaf(factors[j], b[j].w, o[c][i][3]);
          }
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
#pragma unroll
    for (int step = kAcross / 2; step > 0; step /= 2) sum[i] += __shfl_xor_sync(~0u, sum[i], step);
    if (row_of(i) >= p.queries) continue;
    const float factor = sum[i] > 0 ? 1.f / sum[i] : 0.f;
    T* out = task.output_of<T>(p, row_of(i));
#pragma unroll
    for (int c = 0; c < kParts; ++c)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (const int at = column + c * kPart + lane * 4 + e; at < p.v_dim)
          out[at] = from_float<T>(o[c][i][e] * factor);
  }
}

template <typename T, int kColumns, int kOwn>
void launch(const AttentionParams& p, cudaStream_t stream) {
  const int64_t across = (p.queries + kRows - 1) / kRows;
  const dim3 grid(static_cast<unsigned>(across * p.heads * p.batch),
                  static_cast<unsigned>((p.v_dim + kColumns - 1) / kColumns));
  attention_kernel<T, kColumns, kOwn>
      <<<grid, kRows / kOwn * kAcross, 0, stream>>>(p, static_cast<int>(across));
}

}  // namespace

cudaError_t attention_plain(const AttentionParams& p, cudaStream_t stream) {
  if (p.batch * p.queries * p.heads * p.v_dim == 0) return cudaSuccess;
  with_compute_type(p.dtype, [&](auto t) {
    using T = decltype(t);
    if (p.v_dim <= 64)
      launch<T, 64, 8>(p, stream);
    else if (p.v_dim <= 128)
      launch<T, 128, 8>(p, stream);
    else
      launch<T, 512, 4>(p, stream);
  });
  return cudaGetLastError();
}

}  // namespace zoetrope::cuda
