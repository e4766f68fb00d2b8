// What kernels over rows share: chunks of neighbouring elements, a fixed number of invocations
// ("lanes") to a row, and sums over them in a fixed order.
#ifndef ROWS_GLSL
#define ROWS_GLSL

#include "chunk.glsl"

#ifdef ADDRESSES
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif

// CHUNK divides the row.
layout(constant_id = 17) const uint LANES = 64;  // of a row: a power of two, at most the group
layout(constant_id = 18) const uint KEEP = 0;    // chunks of its row that a lane holds; 0: reads again
layout(constant_id = 19) const uint RANK = 0;    // of the rows, where an operand broadcasts to them

// get_K(base, step, c): chunk c of the row that begins at element `base`; step 0: that element
// everywhere. put_K(base, c, chunk) writes it.
#define ROW_OPERAND(K)                                                 \
  OPERAND(K)                                                           \
  CHUNK_INPUT(K)                                                       \
  Chunk get_##K(uint base, uint step, uint c) {                        \
    if (CHUNK > 1 && step != 0) return get_wide_##K(base + c * CHUNK); \
    float v = float_##K(base + step * c);                              \
    return Chunk(vec4(v), vec4(v));                                    \
  }
#define ROW_OUTPUT(K)                                          \
  OPERAND(K)                                                   \
  CHUNK_OUTPUT(K)                                              \
  void put_##K(uint base, uint c, Chunk v) { put_chunk_##K(base + c * CHUNK, v); }

float chunk_sum(Chunk c) {
  if (CHUNK == 1) return c.a.x;
  float sum = dot(c.a, vec4(1));
  return CHUNK == 8 ? sum + dot(c.b, vec4(1)) : sum;
}
float chunk_squares(Chunk c) {
  if (CHUNK == 1) return c.a.x * c.a.x;
  float sum = dot(c.a, c.a);
  return CHUNK == 8 ? sum + dot(c.b, c.b) : sum;
}
Chunk chunk_minus(Chunk c, float v) { return Chunk(c.a - v, c.b - v); }

#ifdef ADDRESSES
bool full_subgroups() { return gl_NumSubgroups * gl_SubgroupSize == GROUP_SIZE; }
// The invocation's number in its group; those of a subgroup follow one another.
uint invocation() {
  return full_subgroups() ? gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID
                          : gl_LocalInvocationIndex;
}
#else
uint invocation() { return gl_LocalInvocationIndex; }
#endif

uint lane_id() { return invocation() % LANES; }
uint row_id() { return group_id() * (GROUP_SIZE / LANES) + invocation() / LANES; }

// EACH_KEPT(i) statement: for the chunks that a lane holds. Unrolled here, since drivers give arrays a
// place in memory before they unroll; without addresses each access is many instructions.
#ifndef MOST_KEPT
#define MOST_KEPT 4
#endif
#ifdef ADDRESSES
#define EACH_KEPT(I) [[unroll]] for (uint I = 0; I < MOST_KEPT; ++I) if (I < KEEP)
#else
#define EACH_KEPT(I) for (uint I = 0; I < MOST_KEPT; ++I) if (I < KEEP)
#endif

// Chunk i of a lane of a row of `chunks`, and whether it has one: only the last may be missing, which
// reads the row's last chunk instead, so that all loads are under way at once.
uint kept_chunk(uint lane, uint i, uint chunks) {
  uint c = lane + i * LANES;
  return i + 1 < KEEP ? c : min(c, chunks - 1);
}
bool is_kept(uint lane, uint i, uint chunks) { return i + 1 < KEEP || lane + i * LANES < chunks; }

#define MOST_LANES 256
shared vec2 row_parts[MOST_LANES];

// Brings the values of a row's lanes together, the same bits in each. Every invocation of the group
// calls it. PART(i): where invocation i leaves its own.
#ifdef ADDRESSES
#define ROW_IN_SUBGROUPS(PART, COMBINE)                                         \
  if (full_subgroups()) {                                                       \
    for (uint step = 1; step < min(LANES, gl_SubgroupSize); step *= 2)          \
      v = COMBINE(v, subgroupShuffleXor(v, step));                              \
    if (LANES <= gl_SubgroupSize) return v;                                     \
    barrier();                                                                  \
    if (gl_SubgroupInvocationID == 0) PART(gl_SubgroupID) = v;                  \
    barrier();                                                                  \
    uint count = LANES / gl_SubgroupSize, first = id / LANES * count;           \
    v = PART(first);                                                            \
    for (uint i = 1; i < count; ++i) v = COMBINE(v, PART(first + i));           \
    return v;                                                                   \
  }
#else
#define ROW_IN_SUBGROUPS(PART, COMBINE)
#endif
#define ROW_COMBINATION(NAME, T, PART, COMBINE)                                 \
  T NAME(T v) {                                                                 \
    uint id = invocation();                                                     \
    ROW_IN_SUBGROUPS(PART, COMBINE)                                             \
    barrier();                                                                  \
    PART(id) = v;                                                               \
    barrier();                                                                  \
    for (uint reach = LANES / 2; reach > 0; reach /= 2) {                       \
      if (id % LANES < reach) PART(id) = COMBINE(PART(id), PART(id + reach));   \
      barrier();                                                                \
    }                                                                           \
    return PART(id / LANES * LANES);                                            \
  }
#define ROW_PART(I) row_parts[I]
#define ROW_PART_X(I) row_parts[I].x
#define ROW_ADD(A, B) ((A) + (B))
ROW_COMBINATION(row_sum, vec2, ROW_PART, ROW_ADD)
ROW_COMBINATION(row_sum, float, ROW_PART_X, ROW_ADD)

// The first elements of a row in two operands that broadcast to the rows. From param(first): `rank`
// extents, as many steps of one operand, and of the other.
uvec2 broadcast_row(uint row, uint first, uint rank) {
  uvec2 at = uvec2(0);
  for (uint d = rank; d-- > 0;) {
    uint extent = param(first + d), i = row % extent;
    row /= extent;
    at += i * uvec2(param(first + rank + d), param(first + 2 * rank + d));
  }
  return at;
}

#endif  // ROWS_GLSL
