// Several elements that lie side by side, moved as 16 bytes and computed on in f32.
#pragma once

#include "backends/cuda/kernels/common.cuh"

namespace zoetrope::cuda {

// Elements of T in 16 bytes.
template <typename T>
inline constexpr int kChunk = 16 / sizeof(T);

template <int kBytes>
struct Raw;
template <>
struct Raw<1> {
  using Type = uint8_t;
};
template <>
struct Raw<2> {
  using Type = uint16_t;
};
template <>
struct Raw<4> {
  using Type = uint32_t;
};
template <>
struct Raw<8> {
  using Type = uint2;
};
template <>
struct Raw<16> {
  using Type = uint4;
};

// N elements of T that lie in one Word of Raw, as f32 and back. Those of 16 bits go by pairs, which
// takes half the instructions.
template <typename T, int N, typename Word>
__device__ inline void unpack_word(const Word& word, float* to) {
  if constexpr (sizeof(T) == 2 && N % 2 == 0) {
    const auto* pairs = reinterpret_cast<const uint32_t*>(&word);
#pragma unroll
    for (int e = 0; e < N / 2; ++e) {
      const float2 pair = unpack_pair<T>(pairs[e]);
      to[2 * e] = pair.x;
      to[2 * e + 1] = pair.y;
    }
  } else {
    const T* part = reinterpret_cast<const T*>(&word);
#pragma unroll
    for (int e = 0; e < N; ++e) to[e] = to_float(part[e]);
  }
}
template <typename T, int N, typename Word>
__device__ inline Word pack_word(const float* from) {
  Word word;
  if constexpr (sizeof(T) == 2 && N % 2 == 0) {
    auto* pairs = reinterpret_cast<uint32_t*>(&word);
#pragma unroll
    for (int e = 0; e < N / 2; ++e) pairs[e] = pack_pair<T>(from[2 * e], from[2 * e + 1]);
  } else {
    T* part = reinterpret_cast<T*>(&word);
#pragma unroll
    for (int e = 0; e < N; ++e) part[e] = from_float<T>(from[e]);
  }
  return word;
}

// N elements at `from`, which is aligned to them up to 16 bytes.
template <int N, typename T>
__device__ inline void load_chunk(const T* from, float (&to)[N]) {
  constexpr int kBytes =
      N * static_cast<int>(sizeof(T)) < 16 ? N * static_cast<int>(sizeof(T)) : 16;
  constexpr int kEach = kBytes / static_cast<int>(sizeof(T));
  using Word = typename Raw<kBytes>::Type;
#pragma unroll
  for (int i = 0; i < N; i += kEach) {
    const Word word = *reinterpret_cast<const Word*>(from + i);  // in one piece
    unpack_word<T, kEach>(word, to + i);
  }
}

template <int N, typename T>
__device__ inline void store_chunk(T* to, const float (&from)[N]) {
  constexpr int kBytes =
      N * static_cast<int>(sizeof(T)) < 16 ? N * static_cast<int>(sizeof(T)) : 16;
  constexpr int kEach = kBytes / static_cast<int>(sizeof(T));
  using Word = typename Raw<kBytes>::Type;
#pragma unroll
  for (int i = 0; i < N; i += kEach)
    *reinterpret_cast<Word*>(to + i) = pack_word<T, kEach, Word>(from + i);
}

// 16 bytes as they were read, which take half the registers of f32 where elements have 16 bits.
template <typename T>
__device__ inline void unpack(const uint4& word, float (&to)[kChunk<T>]) {
  unpack_word<T, kChunk<T>>(word, to);
}

template <typename T>
__device__ inline uint4 pack(const float (&from)[kChunk<T>]) {
  return pack_word<T, kChunk<T>, uint4>(from);
}

// A tensor of a compute dtype that only the call knows: weights, gates, rotary tables.
struct Side {
  const void* data = nullptr;  // null: absent
  DType dtype = DType::kF32;

  __device__ explicit operator bool() const { return data != nullptr; }
  template <int N>
  __device__ void load(int64_t at, float (&to)[N]) const {
    switch (dtype) {
      case DType::kF16: return load_chunk(static_cast<const __half*>(data) + at, to);
      case DType::kBF16: return load_chunk(static_cast<const __nv_bfloat16*>(data) + at, to);
      default: return load_chunk(static_cast<const float*>(data) + at, to);
    }
  }
  __device__ float one(int64_t at) const {
    float value[1];
    load(at, value);
    return value[0];
  }
};

}  // namespace zoetrope::cuda
