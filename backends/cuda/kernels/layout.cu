#include "backends/cuda/kernels/layout.h"

#include "backends/cuda/kernels/chunk.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256;

unsigned blocks_for(int64_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

__device__ int64_t global_id() { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

// Calls body(Word()) with a type of that many bytes.
template <typename Body>
void with_unit(int bytes, Body&& body) {
  switch (bytes) {
    case 1: return body(Raw<1>::Type());
    case 2: return body(Raw<2>::Type());
    case 4: return body(Raw<4>::Type());
    case 8: return body(Raw<8>::Type());
    default: return body(Raw<16>::Type());
  }
}

template <typename Word>
__global__ void __launch_bounds__(kThreads) copy_kernel(const CopyParams p) {
  const int64_t i = global_id();
  if (i >= p.count) return;
  int64_t at[2];
  p.walk.offsets(static_cast<uint64_t>(i), at);
  static_cast<Word*>(p.to)[at[1]] = static_cast<const Word*>(p.from)[at[0]];
}

constexpr int kTile = 32, kTileRows = 8;

template <typename Word>
__global__ void __launch_bounds__(kTile* kTileRows)
    transpose_kernel(const TransposeParams p, Divider across, Divider down) {
  __shared__ Word tile[kTile][kTile + 1];
  const uint64_t rest = across.quotient(blockIdx.x), outer = down.quotient(rest);
  const auto left = static_cast<int64_t>(blockIdx.x - rest * across.d) * kTile;
  const auto top = static_cast<int64_t>(rest - outer * down.d) * kTile;
  int64_t at[2];
  p.walk.offsets(outer, at);
  const Word* from = static_cast<const Word*>(p.from) + at[0];
  Word* to = static_cast<Word*>(p.to) + at[1];
  for (int r = static_cast<int>(threadIdx.y); r < kTile; r += kTileRows)
    if (const int64_t x = left + threadIdx.x, y = top + r; x < p.width && y < p.height)
      tile[r][threadIdx.x] = from[y * p.from_step + x];
  __syncthreads();
  for (int r = static_cast<int>(threadIdx.y); r < kTile; r += kTileRows)
    if (const int64_t x = left + r, y = top + threadIdx.x; x < p.width && y < p.height)
      to[x * p.to_step + y] = tile[threadIdx.x][r];
}

template <typename Word>
__global__ void __launch_bounds__(kThreads) gather_kernel(const GatherParams p, Divider row) {
  const int64_t i = global_id();
  if (i >= p.count) return;
  const auto which = static_cast<int64_t>(row.quotient(static_cast<uint64_t>(i)));
  int64_t index = p.wide_indices ? static_cast<const int64_t*>(p.indices)[which]
                                 : static_cast<const int32_t*>(p.indices)[which];
  index = index < 0 ? 0 : index >= p.rows ? p.rows - 1 : index;
  static_cast<Word*>(p.out)[i] =
      static_cast<const Word*>(p.table)[index * p.row + (i - which * p.row)];
}

template <typename Word>
__global__ void __launch_bounds__(kThreads) pad_kernel(const PadParams p) {
  const int64_t i = global_id();
  if (i >= p.count) return;
  auto rest = static_cast<uint64_t>(i);
  int64_t from = 0, stride = 1;
  bool inside = true;
#pragma unroll
  for (int d = kWalkRank - 1; d >= 0; --d) {
    if (d >= p.rank) continue;
    const uint64_t next = p.extents[d].quotient(rest);
    int64_t at = static_cast<int64_t>(rest - next * p.extents[d].d) - p.before[d];
    const int64_t size = p.sizes[d];
    if (p.mode == PadMode::kConstant) inside = inside && at >= 0 && at < size;
    if (p.mode == PadMode::kReplicate) at = at < 0 ? 0 : at >= size ? size - 1 : at;
    if (p.mode == PadMode::kReflect) at = at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at;
    from += at * stride;
    stride *= size;
    rest = next;
  }
  Word constant;
  memcpy(&constant, p.value, sizeof(Word));
  static_cast<Word*>(p.y)[i] = inside ? static_cast<const Word*>(p.x)[from] : constant;
}

}  // namespace

cudaError_t copy_units(const CopyParams& p, cudaStream_t stream) {
  if (p.count == 0) return cudaSuccess;
  with_unit(p.unit_bytes, [&](auto word) {
    copy_kernel<decltype(word)><<<blocks_for(p.count), kThreads, 0, stream>>>(p);
  });
  return cudaGetLastError();
}

cudaError_t transpose_tiles(const TransposeParams& p, cudaStream_t stream) {
  const int64_t across = (p.width + kTile - 1) / kTile, down = (p.height + kTile - 1) / kTile;
  if (across * down * p.outer == 0) return cudaSuccess;
  const auto blocks = static_cast<unsigned>(across * down * p.outer);
  const auto launch = [&](auto word) {
    transpose_kernel<decltype(word)>
        <<<blocks, dim3(kTile, kTileRows), 0, stream>>>(p, Divider(across), Divider(down));
  };
  switch (p.element_bytes) {
    case 1: launch(Raw<1>::Type()); break;
    case 2: launch(Raw<2>::Type()); break;
    case 4: launch(Raw<4>::Type()); break;
    default: launch(Raw<8>::Type());
  }
  return cudaGetLastError();
}

cudaError_t gather(const GatherParams& p, cudaStream_t stream) {
  if (p.count == 0) return cudaSuccess;
  with_unit(p.unit_bytes, [&](auto word) {
    gather_kernel<decltype(word)><<<blocks_for(p.count), kThreads, 0, stream>>>(p, Divider(p.row));
  });
  return cudaGetLastError();
}

cudaError_t pad(const PadParams& p, cudaStream_t stream) {
  if (p.count == 0) return cudaSuccess;
  with_unit(p.unit_bytes, [&](auto word) {
    pad_kernel<decltype(word)><<<blocks_for(p.count), kThreads, 0, stream>>>(p);
  });
  return cudaGetLastError();
}

}  // namespace zoetrope::cuda
