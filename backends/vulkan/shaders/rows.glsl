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
#define ROW_OPERAND(K)                                         \
  OPERAND(K)                                                   \
  CHUNK_INPUT(K)                                               \
  Chunk get_##K(uint base, uint step, uint c) {                \
    if (step != 0) return get_chunk_##K(base + c * CHUNK);     \
    float v = load_##K(base);                                  \
    return Chunk(vec4(v), vec4(v));                            \
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

#define MOST_LANES 256
shared vec2 row_parts[MOST_LANES];

// The sum over the lanes of a row, the same bits in each. Every invocation of the group calls it.
vec2 row_sum(vec2 v) {
  uint id = invocation();
#ifdef ADDRESSES
  if (full_subgroups()) {
    for (uint step = 1; step < min(LANES, gl_SubgroupSize); step *= 2)
      v += subgroupShuffleXor(v, step);
    if (LANES <= gl_SubgroupSize) return v;
    barrier();
    if (gl_SubgroupInvocationID == 0) row_parts[gl_SubgroupID] = v;
    barrier();
    uint count = LANES / gl_SubgroupSize, first = id / LANES * count;
    v = vec2(0);
    for (uint i = 0; i < count; ++i) v += row_parts[first + i];
    return v;
  }
#endif
  barrier();
  row_parts[id] = v;
  barrier();
  for (uint reach = LANES / 2; reach > 0; reach /= 2) {
    if (id % LANES < reach) row_parts[id] += row_parts[id + reach];
    barrier();
  }
  return row_parts[id / LANES * LANES];
}

// The first elements of a row in two operands that broadcast to the rows. From param(first): RANK
// extents, RANK steps of one operand, RANK of the other.
uvec2 broadcast_row(uint row, uint first) {
  uvec2 at = uvec2(0);
  for (uint d = RANK; d-- > 0;) {
    uint extent = param(first + d), i = row % extent;
    row /= extent;
    at += i * uvec2(param(first + RANK + d), param(first + 2 * RANK + d));
  }
  return at;
}

#endif  // ROWS_GLSL
