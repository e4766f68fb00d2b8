// Queries, keys and values as 8-bit numbers: each is read once, but for the samples that the means
// of keys and values are taken from.
#include "backends/cuda/kernels/attention_8bit.h"

#include <algorithm>

#include "backends/cuda/kernels/chunk.cuh"
#include "backends/cuda/kernels/launch.cuh"
#include "backends/cuda/kernels/narrow.cuh"

namespace zoetrope::cuda {
namespace {

using F8 = __nv_fp8_e4m3;

constexpr int kThreads = 256, kKeys = kAttention8Keys;
constexpr int kSamples = 1024;   // keys that a mean is taken of
constexpr int kRangeKeys = 256;  // keys of a block that looks for the largest value

// Any vector near the mean serves: of every n-th key. A block has a head of keys or values.
template <typename T>
__global__ void __launch_bounds__(512) mean_kernel(const Attention8Params a, int dims) {
  wait_for_earlier();
  constexpr int N = kChunk<T>;
  const AttentionParams& p = a.p;
  const bool values = blockIdx.y == 1;
  const AttentionTensor& x = values ? p.v : p.k;
  const int lanes = dims / N, rows = static_cast<int>(blockDim.x) / lanes;
  const int lane = static_cast<int>(threadIdx.x) % lanes,
            row = static_cast<int>(threadIdx.x) / lanes;
  const int head = static_cast<int>(blockIdx.x) % p.kv_heads,
            sample = static_cast<int>(blockIdx.x) / p.kv_heads;
  int64_t keys = p.keys;
  if (p.lengths != nullptr)
    keys = max(int64_t{0}, min(keys, static_cast<int64_t>(p.lengths[sample])));
  const auto count = static_cast<int>(min(keys, static_cast<int64_t>(kSamples)));
  const T* from = static_cast<const T*>(x.data) + sample * x.batch_step + head * p.dim + lane * N;
  float sum[N] = {};
  if (lane * N < p.dim) {
#pragma unroll 8
    for (int i = row; i < count; i += rows) {
      float v[N];
      load_chunk(from + keys * i / count * x.token_step, v);
#pragma unroll
      for (int e = 0; e < N; ++e) sum[e] += v[e];
    }
  }
  __shared__ float parts[512 * N];
#pragma unroll
  for (int e = 0; e < N; ++e) parts[row * dims + lane * N + e] = sum[e];
  __syncthreads();
  for (int d = static_cast<int>(threadIdx.x); d < dims; d += static_cast<int>(blockDim.x)) {
    float all = 0;
    for (int r = 0; r < rows; ++r) all += parts[r * dims + d];
    float* mean = values ? a.t.v_mean : a.t.k_mean;
    const int64_t at = static_cast<int64_t>(blockIdx.x) * dims + d;
    mean[at] = count > 0 ? all / static_cast<float>(count) : 0.f;
    if (values) a.t.v_most[at] = 0;
  }
}

// The largest of |v − mean| in each dim, as bits of floats: whole numbers have the same order.
template <typename T>
__global__ void __launch_bounds__(kThreads) value_range_kernel(const Attention8Params a, int dims) {
  wait_for_earlier();
  constexpr int N = kChunk<T>;
  const AttentionParams& p = a.p;
  const int lanes = dims / N, step = kThreads / lanes;
  const int lane = static_cast<int>(threadIdx.x) % lanes,
            row = static_cast<int>(threadIdx.x) / lanes;
  const int head = static_cast<int>(blockIdx.x) % p.kv_heads;
  const auto rest = static_cast<int>(blockIdx.x) / p.kv_heads;
  const auto tiles = static_cast<int>((p.keys + kRangeKeys - 1) / kRangeKeys);
  const int sample = rest / tiles;
  const int64_t begin = int64_t{rest % tiles} * kRangeKeys;
  int64_t end = p.keys;
  if (p.lengths != nullptr) end = min(end, static_cast<int64_t>(p.lengths[sample]));
  end = min(end, begin + kRangeKeys);
  const int64_t of_head = int64_t{sample} * p.kv_heads + head;
  const T* from =
      static_cast<const T*>(p.v.data) + sample * p.v.batch_step + head * p.dim + lane * N;
  float most[N] = {}, mean[N];
  load_chunk(a.t.v_mean + of_head * dims + lane * N, mean);
  if (lane * N < p.dim) {
#pragma unroll 8
    for (int64_t key = begin + row; key < end; key += step) {
      float v[N];
      load_chunk(from + key * p.v.token_step, v);
#pragma unroll
      for (int e = 0; e < N; ++e) {
        const float off = fabsf(v[e] - mean[e]);
        most[e] = off <= most[e] ? most[e] : off;  // NaN stays
      }
    }
  }
  __shared__ float parts[kThreads * N];
#pragma unroll
  for (int e = 0; e < N; ++e) parts[row * dims + lane * N + e] = most[e];
  __syncthreads();
  for (int d = static_cast<int>(threadIdx.x); d < dims; d += kThreads) {
    float all = parts[d];
    for (int r = 1; r < step; ++r) {
      const float other = parts[r * dims + d];
      all = other <= all ? all : other;
    }
    atomicMax(reinterpret_cast<int*>(a.t.v_most) + of_head * dims + d, __float_as_int(all));
  }
}

// The largest of the block's values.
__device__ float block_max(float value) {
  __shared__ float shared[kThreads / 32];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(~0u, value, step));
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[0];
#pragma unroll
  for (int i = 1; i < kThreads / 32; ++i) value = fmaxf(value, shared[i]);
  return value;
}

// Factors of numbers up to `most` in 8 bits up to `largest`. Never 0: hidden scores are infinite.
struct Factors {
  float narrow, widen;
  __device__ Factors(float most, float largest) {
    const bool nothing = most < 0x1p-100f;
    narrow = nothing ? 0.f : largest / most;
    widen = nothing ? 1.f : most / largest;  // NaN and ∞ stay
  }
};

// Where eight neighbours of row `row` begin in a tile of rows of kRowBytes.
template <int kRowBytes>
__device__ int place_of(int row, int column) {
  const int swizzle = kRowBytes == 128 ? row & 7 : row >> 1 & 3;
  return row * kRowBytes + ((column >> 4 ^ swizzle) << 4 | (column & 15));
}

// max |x| that is a number; NaN where any is none or infinite, which must not get lost.
struct Most {
  float most = 0, finite = 0;
  __device__ void take(float x) {
    most = fmaxf(most, fabsf(x));
    finite += x - x;
  }
};

// Eight neighbours at each of kPer places, all under way at once; zeros where there are none.
template <int kPer, typename T, typename Place>
__device__ void load_eights(uint4 (&raw)[kPer], const T* from, const Place& place) {
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    const int64_t at = place(i);
    raw[i] = make_uint4(0, 0, 0, 0);
    if (at >= 0) raw[i] = *reinterpret_cast<const uint4*>(from + at);
  }
}

// A block has 128 rows of a head of queries, or a tile of a head's keys.
template <typename T, int kDim, bool kQueries>
__device__ void quantize_tile(const Attention8Params& a, int head, int tile, int sample) {
  constexpr int N = 8, kLanes = kDim / N, kStep = kThreads / kLanes, kPer = kKeys / kStep;
  const AttentionParams& p = a.p;
  const AttentionTensor& x = kQueries ? p.q : p.k;
  const int lane = static_cast<int>(threadIdx.x) % kLanes,
            first = static_cast<int>(threadIdx.x) / kLanes;
  const int heads = kQueries ? p.heads : p.kv_heads;
  int64_t rows = kQueries ? p.queries : p.keys;
  if (!kQueries && p.lengths != nullptr) rows = min(rows, static_cast<int64_t>(p.lengths[sample]));
  const int64_t begin = int64_t{tile} * kKeys, of_head = int64_t{sample} * heads + head;
  const int left = lane * N < p.dim ? static_cast<int>(min(rows - begin, int64_t{kKeys})) : 0;
  uint4 raw[kPer];
  load_eights(raw,
              static_cast<const T*>(x.data) + sample * x.batch_step + begin * x.token_step +
                  head * p.dim + lane * N,
              [&](int i) -> int64_t {
                const int row = first + i * kStep;
                return row < left ? row * x.token_step : -1;
              });
  float mean[N] = {};
  if constexpr (!kQueries) load_chunk(a.t.k_mean + of_head * kDim + lane * N, mean);
  const auto values = [&](int i, float(&v)[N]) {
    unpack<T>(raw[i], v);
    if constexpr (!kQueries) {
      const bool there = first + i * kStep < left;
#pragma unroll
      for (int e = 0; e < N; ++e) v[e] = there ? v[e] - mean[e] : 0.f;
    }
  };
  if constexpr (kQueries) {
    const int64_t parts = (p.queries + kAttention8Rows - 1) / kAttention8Rows;
    uint8_t* to = a.t.q + of_head * parts * kAttention8Rows * kDim;
    float* scales = a.t.q_scale + of_head * parts * kAttention8Rows;
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      float v[N];
      values(i, v);
      Most own;
#pragma unroll
      for (int e = 0; e < N; ++e) own.take(v[e]);
#pragma unroll
      for (int step = kLanes / 2; step > 0; step /= 2) {
        own.most = fmaxf(own.most, __shfl_xor_sync(~0u, own.most, step));
        own.finite += __shfl_xor_sync(~0u, own.finite, step);
      }
      const Factors factors(own.most, kLargest<F8>);
      const int row = first + i * kStep, part = tile * 2 + row / kAttention8Rows;
      if (part >= parts) continue;
      if (lane == 0) scales[tile * kKeys + row] = factors.widen + own.finite;
      *reinterpret_cast<uint2*>(to + int64_t{part} * kAttention8Rows * kDim +
                                place_of<kDim>(row % kAttention8Rows, lane * N)) =
          narrow_8<F8>(v, factors.narrow);
    }
  } else {
    Most own;
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      float v[N];
      values(i, v);
#pragma unroll
      for (int e = 0; e < N; ++e) own.take(v[e]);
    }
    const bool finite = !__syncthreads_or(own.finite != 0);
    const Factors factors(block_max(own.most), kLargest<F8>);
    const int64_t of_tile = of_head * ((p.keys + kKeys - 1) / kKeys) + tile;
    if (threadIdx.x == 0) a.t.k_scale[of_tile] = finite ? factors.widen : NAN;
    uint8_t* to = a.t.k + of_tile * kKeys * kDim;
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      float v[N];
      values(i, v);
      *reinterpret_cast<uint2*>(to + place_of<kDim>(first + i * kStep, lane * N)) =
          narrow_8<F8>(v, factors.narrow);
    }
  }
}

// A block has a tile of a head's values, which it turns. A thread has four keys that lie side by
// side in the turned tile, of eight dims, several times.
template <typename T, int kDim>
__device__ void quantize_values(const Attention8Params& a, int head, int tile, int sample) {
  constexpr int N = 8, kLanes = kDim / N, kGroups = kKeys / 4, kStep = kThreads / kLanes,
                kPer = kGroups / kStep;
  __shared__ uint32_t turned[kDim * kGroups];
  const AttentionParams& p = a.p;
  const int lane = static_cast<int>(threadIdx.x) % kLanes,
            first = static_cast<int>(threadIdx.x) / kLanes;
  int64_t keys = p.keys;
  if (p.lengths != nullptr) keys = min(keys, static_cast<int64_t>(p.lengths[sample]));
  const int64_t of_head = int64_t{sample} * p.kv_heads + head;
  const int left =
      lane * N < p.dim ? static_cast<int>(min(keys - int64_t{tile} * kKeys, int64_t{kKeys})) : 0;
  // Threads of a warp have groups 16 apart, which are as many words: no two in one bank.
  const auto group_of = [&](int i) {
    const int g = first + i * kStep;
    return (g & 1) * (kGroups / 2) + (g >> 1);
  };
  const auto key_of = [&](int i) {  // of the i-th load
    const int group = group_of(i / 4);
    return group % 8 * 16 + group / 8 * 2 + i % 4 / 2 * 8 + i % 2;
  };
  uint4 raw[4 * kPer];
  load_eights(raw,
              static_cast<const T*>(p.v.data) + sample * p.v.batch_step + head * p.dim +
                  int64_t{tile} * kKeys * p.v.token_step + lane * N,
              [&](int i) -> int64_t {
                const int key = key_of(i);
                return key < left ? key * p.v.token_step : -1;
              });
  // Infinite or no numbers make factors that are none, and so the result.
  float mean[N], narrow[N];
  load_chunk(a.t.v_mean + of_head * kDim + lane * N, mean);
  load_chunk(a.t.v_most + of_head * kDim + lane * N, narrow);
#pragma unroll
  for (int e = 0; e < N; ++e) {
    const Factors factors(narrow[e], kLargest<F8>);
    narrow[e] = factors.narrow;
    if (tile == 0 && first == 0) a.t.v_scale[of_head * kDim + lane * N + e] = factors.widen;
  }
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    float v[4][N];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      unpack<T>(raw[4 * i + k], v[k]);
      const bool there = key_of(4 * i + k) < left;
#pragma unroll
      for (int e = 0; e < N; ++e) v[k][e] = there ? (v[k][e] - mean[e]) * narrow[e] : 0.f;
    }
    const int group = group_of(i);
#pragma unroll
    for (int e = 0; e < N; ++e) {
      const float four[4] = {v[0][e], v[1][e], v[2][e], v[3][e]};
      turned[(lane * N + e) * kGroups + (group ^ lane)] = narrow_4<F8>(four, 1.f);
    }
  }
  __syncthreads();
  const int64_t of_tile = of_head * ((p.keys + kKeys - 1) / kKeys) + tile;
  auto* to = reinterpret_cast<uint32_t*>(a.t.v + of_tile * kKeys * kDim);
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < kDim * kGroups; i += kThreads) {
    const int dim = i / kGroups, place = i % kGroups;
    const int group = ((place >> 2 ^ (dim & 7)) << 2) | (place & 3);
    to[i] = turned[dim * kGroups + (group ^ dim / N)];
  }
}

template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads, 3) quantize_kernel(const Attention8Params a) {
  wait_for_earlier();
  const AttentionParams& p = a.p;
  // Blocks by what they do: tiles of queries, of keys, of values, heads innermost, whose rows lie
  // side by side.
  const auto tiles_q = static_cast<int>((p.queries + kKeys - 1) / kKeys),
             tiles_k = static_cast<int>((p.keys + kKeys - 1) / kKeys);
  auto index = static_cast<int64_t>(blockIdx.x);
  const int64_t queries = int64_t{tiles_q} * p.heads * p.batch,
                keys = int64_t{tiles_k} * p.kv_heads * p.batch;
  const bool of_queries = index < queries;
  if (!of_queries) index -= queries;
  const bool of_values = !of_queries && index >= keys;
  if (of_values) index -= keys;
  const int heads = of_queries ? p.heads : p.kv_heads, tiles = of_queries ? tiles_q : tiles_k;
  const int head = static_cast<int>(index % heads);
  const auto rest = static_cast<int>(index / heads);
  if (of_values) return quantize_values<T, kDim>(a, head, rest % tiles, rest / tiles);
  if (of_queries) return quantize_tile<T, kDim, true>(a, head, rest % tiles, rest / tiles);
  quantize_tile<T, kDim, false>(a, head, rest % tiles, rest / tiles);
}

template <typename T, int kDim>
cudaError_t quantize(const Attention8Params& a, cudaStream_t stream) {
  const AttentionParams& p = a.p;
  const int64_t tiles_q = (p.queries + kKeys - 1) / kKeys, tiles_k = (p.keys + kKeys - 1) / kKeys;
  const int64_t blocks = (tiles_q * p.heads + 2 * tiles_k * p.kv_heads) * p.batch;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  mean_kernel<T><<<dim3(static_cast<unsigned>(p.kv_heads * p.batch), 2), 512, 0, stream>>>(a, kDim);
  if (const cudaError_t launched = cudaGetLastError(); launched != cudaSuccess) return launched;
  const int64_t ranges = (p.keys + kRangeKeys - 1) / kRangeKeys * p.kv_heads * p.batch;
  const cudaError_t ranged =
      launch_early(value_range_kernel<T>,
                   {.blocks = static_cast<unsigned>(ranges), .threads = kThreads}, stream, a, kDim);
  if (ranged != cudaSuccess) return ranged;
  return launch_early(quantize_kernel<T, kDim>,
                      {.blocks = static_cast<unsigned>(blocks), .threads = kThreads}, stream, a);
}

// A warp has a row; parts are added in their order.
template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads) combine_kernel(const Attention8Params a) {
  wait_for_earlier();
  constexpr int kRows = kAttention8BlockRows, N = kDim / 32;
  const AttentionParams& p = a.p;
  const auto index = static_cast<int>(blockIdx.x * (kThreads / 32) + threadIdx.x / 32);
  const int tile = index / kRows, row = index % kRows,
            column = static_cast<int>(threadIdx.x) % 32 * N;
  const auto across = static_cast<int>((p.queries + kRows - 1) / kRows);
  const int at = across * p.heads * static_cast<int>(p.batch) - a.split_tiles + tile;
  const int of_head = at / across, sample = of_head / p.heads, head = of_head % p.heads;
  const int64_t query = int64_t{at % across} * kRows + row;
  if (query >= p.queries || column >= p.v_dim) return;
  const int64_t first = int64_t{tile} * a.parts * kRows + row;
  float most = -INFINITY;
  for (int part = 0; part < a.parts; ++part)
    most = fmaxf(most, a.t.part_most[first + part * kRows]);
  float total = 0, sums[N] = {};
  for (int part = 0; part < a.parts; ++part) {
    const int64_t own = first + part * kRows;
    if (a.t.part_most[own] == -INFINITY) continue;  // it sees nothing
    const float weight = exp2_of(a.t.part_most[own] - most);
    float x[N];
    load_chunk(a.t.part_sums + own * kDim + column, x);
    total += weight * a.t.part_total[own];
#pragma unroll
    for (int e = 0; e < N; ++e) sums[e] += weight * x[e];
  }
  const int64_t dims =
      (int64_t{sample} * p.kv_heads + head / (p.heads / p.kv_heads)) * kDim + column;
  float scale[N], mean[N];
  load_chunk(a.t.v_scale + dims, scale);
  load_chunk(a.t.v_mean + dims, mean);
  const float factor = total == 0 ? 0 : 1.f / total;
#pragma unroll
  for (int e = 0; e < N; ++e) sums[e] = total == 0 ? 0 : sums[e] * scale[e] * factor + mean[e];
  store_chunk(
      static_cast<T*>(p.out) + ((sample * p.queries + query) * p.heads + head) * p.v_dim + column,
      sums);
}

}  // namespace

// In rounds of blocks that fill the device: what begins and ends a part takes as long as two tiles
// of keys, and its sums go through memory.
void attention_8bit_split(Attention8Params* a, int multiprocessors) {
  constexpr double kTilesAPart = 2, kMemory = 4.3, kWorthIt = 0.85;
  constexpr int kMostParts = 12;
  const AttentionParams& p = a->p;
  const int64_t blocks =
      (p.queries + kAttention8BlockRows - 1) / kAttention8BlockRows * p.heads * p.batch;
  const auto rest = static_cast<int>(blocks % multiprocessors);
  const auto tiles = static_cast<double>((p.keys + kKeys - 1) / kKeys);
  a->split_tiles = 0, a->parts = 1;
  if (p.causal || rest == 0) return;
  double least = kWorthIt;
  for (int parts = 2; parts <= kMostParts; ++parts) {
    const int rounds = (rest * parts + multiprocessors - 1) / multiprocessors;
    const double time = rounds * (1. / parts + kTilesAPart / tiles) +
                        kMemory * rest * parts / (tiles * multiprocessors);
    if (time >= least) continue;
    least = time;
    a->split_tiles = rest, a->parts = parts;
  }
}

int64_t attention_8bit_layout(Attention8Params* a, char* base) {
  const AttentionParams& p = a->p;
  const int64_t dims = attention_8bit_dims(p.dim);
  const int64_t rows = (p.queries + kAttention8Rows - 1) / kAttention8Rows * kAttention8Rows,
                tiles = (p.keys + kKeys - 1) / kKeys;
  const int64_t q_heads = p.batch * p.heads, k_heads = p.batch * p.kv_heads;
  int64_t at = 0;
  const auto place = [&](auto** to, int64_t bytes) {
    if (base != nullptr) *to = reinterpret_cast<std::remove_pointer_t<decltype(to)>>(base + at);
    at += (bytes + 255) / 256 * 256;
  };
  Attention8Tensors& t = a->t;
  place(&t.q, q_heads * rows * dims);
  place(&t.k, k_heads * tiles * kKeys * dims);
  place(&t.v, k_heads * tiles * kKeys * dims);
  place(&t.q_scale, q_heads * rows * 4);
  place(&t.k_scale, k_heads * tiles * 4);
  for (float** of_dims : {&t.v_scale, &t.v_most, &t.k_mean, &t.v_mean})
    place(of_dims, k_heads * dims * 4);
  const int64_t part_rows = int64_t{a->split_tiles} * a->parts * kAttention8BlockRows;
  place(&t.part_sums, part_rows * dims * 4);
  place(&t.part_most, part_rows * 4);
  place(&t.part_total, part_rows * 4);
  return at;
}

cudaError_t attention_8bit_quantize(const Attention8Params& a, cudaStream_t stream) {
  const bool half = a.p.dtype == DType::kF16;
  if (attention_8bit_dims(a.p.dim) == 64)
    return half ? quantize<__half, 64>(a, stream) : quantize<__nv_bfloat16, 64>(a, stream);
  return half ? quantize<__half, 128>(a, stream) : quantize<__nv_bfloat16, 128>(a, stream);
}

cudaError_t attention_8bit_combine(const Attention8Params& a, cudaStream_t stream) {
  if (a.split_tiles == 0) return cudaSuccess;
  const LaunchShape shape{
      .blocks = static_cast<unsigned>(a.split_tiles * (kAttention8BlockRows / (kThreads / 32))),
      .threads = kThreads};
  const auto with = [&](auto kernel) { return launch_early(kernel, shape, stream, a); };
  const bool half = a.p.dtype == DType::kF16;
  if (attention_8bit_dims(a.p.dim) == 64)
    return half ? with(combine_kernel<__half, 64>) : with(combine_kernel<__nv_bfloat16, 64>);
  return half ? with(combine_kernel<__half, 128>) : with(combine_kernel<__nv_bfloat16, 128>);
}

}  // namespace zoetrope::cuda
