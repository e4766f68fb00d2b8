// Chunks of 1, 4 or 8 neighbouring elements: 16 bytes of narrow elements are one access where there
// are addresses.
#ifndef CHUNK_GLSL
#define CHUNK_GLSL

#include "tensor.glsl"

layout(constant_id = 16) const uint CHUNK = 1;  // elements: 1, 4 or 8

// CHUNK 1: a.x. CHUNK 4: a. CHUNK 8: a, then b.
struct Chunk {
  vec4 a, b;
};

float[8] values_of(Chunk c) {
  return float[8](c.a.x, c.a.y, c.a.z, c.a.w, c.b.x, c.b.y, c.b.z, c.b.w);
}
Chunk chunk_of(float v[8]) { return Chunk(vec4(v[0], v[1], v[2], v[3]), vec4(v[4], v[5], v[6], v[7])); }

// get_chunk_K(i) reads elements i, i + 1, ... for i a multiple of CHUNK; put_chunk_K(i, c) writes them.
// get_wide_K and put_wide_K are the same for CHUNK above 1: less for compilers where code is repeated.
#define CHUNK_INPUT(K)                                                    \
  Chunk get_wide_##K(uint i) { WIDE_INPUT(K) }                            \
  Chunk get_chunk_##K(uint i) {                                           \
    if (CHUNK == 1) return Chunk(vec4(load_##K(i)), vec4(0));             \
    return get_wide_##K(i);                                               \
  }
#define CHUNK_OUTPUT(K)                                                   \
  void put_wide_##K(uint i, Chunk v) { WIDE_OUTPUT(K) }                   \
  void put_chunk_##K(uint i, Chunk v) {                                   \
    if (CHUNK == 1) store_##K(i, v.a.x);                                  \
    else put_wide_##K(i, v);                                              \
  }
#ifdef ADDRESSES
// No chunk crosses the border of two allocations.
#define WIDE_INPUT(K)                                                                 \
  uint64_t p = at_##K((DTYPE_##K == F32 ? 4 : 2) * uint64_t(i));                      \
  Chunk v = Chunk(vec4(0), vec4(0));                                                  \
  if (DTYPE_##K == F32) {                                                             \
    v.a = uintBitsToFloat(Quad(p).v);                                                 \
    if (CHUNK == 8) v.b = uintBitsToFloat(Quad(p + 16).v);                            \
    return v;                                                                         \
  }                                                                                   \
  uvec4 q = uvec4(0);                                                                 \
  if (CHUNK == 8) q = Quad(p).v;                                                      \
  else q.xy = Pair(p).v;                                                              \
  v.a = DTYPE_##K == F16 ? unpack_f16(q.xy) : unpack_bf16(q.xy);                      \
  if (CHUNK == 8) v.b = DTYPE_##K == F16 ? unpack_f16(q.zw) : unpack_bf16(q.zw);      \
  return v;
#define WIDE_OUTPUT(K)                                                                \
  uint64_t p = at_##K((DTYPE_##K == F32 ? 4 : 2) * uint64_t(i));                      \
  if (DTYPE_##K == F32) {                                                             \
    Quad(p).v = floatBitsToUint(v.a);                                                 \
    if (CHUNK == 8) Quad(p + 16).v = floatBitsToUint(v.b);                            \
    return;                                                                           \
  }                                                                                   \
  uvec4 q = uvec4(0);                                                                 \
  q.xy = DTYPE_##K == F16 ? pack_f16(v.a) : pack_bf16(v.a);                           \
  if (CHUNK == 8) q.zw = DTYPE_##K == F16 ? pack_f16(v.b) : pack_bf16(v.b);           \
  if (CHUNK == 8) Quad(p).v = q;                                                      \
  else Pair(p).v = q.xy;
#else
#define WIDE_INPUT(K)                                                                 \
  Chunk v = Chunk(load4_##K(i), vec4(0));                                             \
  if (CHUNK == 8) v.b = load4_##K(i + 4);                                             \
  return v;
#define WIDE_OUTPUT(K)                                                                \
  store4_##K(i, v.a);                                                                 \
  if (CHUNK == 8) store4_##K(i + 4, v.b);
#endif

#endif  // CHUNK_GLSL
