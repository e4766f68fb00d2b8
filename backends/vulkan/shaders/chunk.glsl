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
#define CHUNK_INPUT(K)                                                    \
  Chunk get_chunk_##K(uint i) {                                           \
    if (CHUNK == 1) return Chunk(vec4(load_##K(i)), vec4(0));             \
    CHUNK_FROM_QUAD(K)                                                    \
    Chunk v = Chunk(load4_##K(i), vec4(0));                               \
    if (CHUNK == 8) v.b = load4_##K(i + 4);                               \
    return v;                                                             \
  }
#define CHUNK_OUTPUT(K)                                                   \
  void put_chunk_##K(uint i, Chunk v) {                                   \
    if (CHUNK == 1) {                                                     \
      store_##K(i, v.a.x);                                                \
      return;                                                             \
    }                                                                     \
    CHUNK_TO_QUAD(K)                                                      \
    store4_##K(i, v.a);                                                   \
    if (CHUNK == 8) store4_##K(i + 4, v.b);                               \
  }
#ifdef ADDRESSES
#define CHUNK_FROM_QUAD(K)                                                           \
  if (CHUNK == 8 && DTYPE_##K != F32) {                                              \
    uvec4 q = quad_##K(i >> 3);                                                      \
    if (DTYPE_##K == F16) return Chunk(unpack_f16(q.xy), unpack_f16(q.zw));          \
    return Chunk(unpack_bf16(q.xy), unpack_bf16(q.zw));                              \
  }
#define CHUNK_TO_QUAD(K)                                                             \
  if (CHUNK == 8 && DTYPE_##K != F32) {                                              \
    if (DTYPE_##K == F16) put_quad_##K(i >> 3, uvec4(pack_f16(v.a), pack_f16(v.b))); \
    else put_quad_##K(i >> 3, uvec4(pack_bf16(v.a), pack_bf16(v.b)));                \
    return;                                                                          \
  }
#else
#define CHUNK_FROM_QUAD(K)
#define CHUNK_TO_QUAD(K)
#endif

#endif  // CHUNK_GLSL
