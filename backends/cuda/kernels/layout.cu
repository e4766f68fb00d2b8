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

// Element j of each of four bytes' worth of rows.
template <typename Element>
__device__ uint32_t column_word(const uint4 (&rows)[4 / sizeof(Element)], int j) {
  const auto word = [&](int row, int w) {
    return reinterpret_cast<const uint32_t*>(&rows[row])[w];
  };
  if constexpr (sizeof(Element) == 4) {
    return word(0, j);
  } else if constexpr (sizeof(Element) == 2) {
    return __byte_perm(word(0, j / 2), word(1, j / 2), j % 2 == 0 ? 0x5410 : 0x7632);
  } else {
    const unsigned pick = 0x40u + 0x11u * static_cast<unsigned>(j % 4);
    return __byte_perm(__byte_perm(word(0, j / 4), word(1, j / 4), pick),
                       __byte_perm(word(2, j / 4), word(3, j / 4), pick), 0x5410);
  }
}

// Tiles of 128 bytes of a row by kParts·128 bytes of a column, in chunks of 16 bytes on both
// sides. Shared memory has the columns in words of neighbouring rows; chunk g of column c of a part
// lies at place g ^ (c / chunk), so that neither side meets conflicts. Where columns of the output
// begin within a sector of 32 bytes (`skewed`), such a column's tile begins and ends a chunk
// earlier: half-written sectors cost a fifth of the rate.
template <typename Element, int kParts>
__global__ void __launch_bounds__(kThreads)
    transpose_chunks_kernel(const TransposeParams p, Divider across, Divider down, bool skewed) {
  constexpr int N = 16 / sizeof(Element), kPer = 4 / sizeof(Element), kColumns = 8 * N,
                kPart = 32 * kPer;
  __shared__ alignas(16) uint32_t tile[kParts][kColumns][32], before[kColumns][4];
  const uint64_t rest = across.quotient(blockIdx.x), outer = down.quotient(rest);
  const auto left = static_cast<int64_t>(blockIdx.x - rest * across.d) * kColumns;
  const auto top = static_cast<int64_t>(rest - outer * down.d) * (kParts * kPart);
  int64_t at[2];
  p.walk.offsets(outer, at);
  const int chunk = static_cast<int>(threadIdx.x) % 8, eighth = static_cast<int>(threadIdx.x) / 8;
  {
    const int64_t x = left + chunk * N;
    const Element* from = static_cast<const Element*>(p.from) + at[0] + top * p.from_step + x;
    const auto load = [&](int row) {
      const int64_t y = top + row;
      return x < p.width && y >= 0 && y < p.height
                 ? *reinterpret_cast<const uint4*>(from + row * p.from_step)
                 : uint4{};
    };
    uint4 rows[kParts][kPer];
#pragma unroll
    for (int part = 0; part < kParts; ++part)
#pragma unroll
      for (int i = 0; i < kPer; ++i) rows[part][i] = load(part * kPart + eighth * kPer + i);
    if (skewed && eighth < 4) {
      uint4 earlier[kPer];
#pragma unroll
      for (int i = 0; i < kPer; ++i) earlier[i] = load(eighth * kPer + i - N);
#pragma unroll
      for (int j = 0; j < N; ++j) before[chunk * N + j][eighth] = column_word<Element>(earlier, j);
    }
#pragma unroll
    for (int part = 0; part < kParts; ++part)
#pragma unroll
      for (int j = 0; j < N; ++j)
        tile[part][chunk * N + j][((eighth / 4) ^ chunk) * 4 + eighth % 4] =
            column_word<Element>(rows[part], j);
  }
  __syncthreads();
  Element* to = static_cast<Element*>(p.to) + at[1] + top;
#pragma unroll
  for (int c = 0; c < kColumns; c += 32) {
    const int column = c + eighth;
    const int64_t x = left + column;
    Element* own = to + x * p.to_step;
    const int skew = skewed ? static_cast<int>(reinterpret_cast<uintptr_t>(own) / 16 % 2) : 0;
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int g = part * 8 + chunk - skew;  // of the tile's chunks; −1: the one before
      const int64_t y = top + g * N;
      if (x >= p.width || y < 0 || y >= p.height) continue;
      const uint32_t* words =
          g < 0 ? before[column] : &tile[g / 8][column][((g % 8) ^ (column / N)) * 4];
      *reinterpret_cast<uint4*>(own + g * N) = *reinterpret_cast<const uint4*>(words);
    }
  }
}

template <typename Element, int kParts>
void launch_chunks(const TransposeParams& p, cudaStream_t stream) {
  constexpr int64_t N = 16 / sizeof(Element), kColumns = 8 * N, kRows = kParts * kColumns;
  bool skewed = reinterpret_cast<uintptr_t>(p.to) / 16 % 2 != 0 || p.to_step / N % 2 != 0;
  for (int d = 0; d < p.walk.rank; ++d) skewed = skewed || p.walk.strides[1][d] / N % 2 != 0;
  const int64_t height = p.height + (skewed ? N : 0);
  const int64_t across = (p.width + kColumns - 1) / kColumns, down = (height + kRows - 1) / kRows;
  transpose_chunks_kernel<Element, kParts>
      <<<static_cast<unsigned>(across * down * p.outer), kThreads, 0, stream>>>(
          p, Divider(across), Divider(down), skewed);
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
  if (p.chunks && p.element_bytes <= 4) {
    switch (p.element_bytes) {
      case 1: launch_chunks<uint8_t, 1>(p, stream); break;
      case 2: launch_chunks<uint16_t, 2>(p, stream); break;
      default: launch_chunks<uint32_t, 4>(p, stream);
    }
    return cudaGetLastError();
  }
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
