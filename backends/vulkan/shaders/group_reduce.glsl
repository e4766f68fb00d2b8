// Sums and maxima by several invocations ("lanes") a result, in a fixed order through shared memory:
// the same bits on every run. The lanes of a result are neighbours where its elements are (ROWS);
// else the results of a group are, each read by lanes that stand apart.
#ifndef GROUP_REDUCE_GLSL
#define GROUP_REDUCE_GLSL

#include "chunk.glsl"
#include "math.glsl"

layout(constant_id = 17) const uint LANES = 1;  // a power of two that divides the group
layout(constant_id = 18) const uint ROWS = 1;

const uint kMostInGroup = 128;
shared float group_values[kMostInGroup];

uint results_in_group() { return GROUP_SIZE / LANES; }
uint lane() {
  return ROWS != 0 ? gl_LocalInvocationID.x % LANES : gl_LocalInvocationID.x / results_in_group();
}
uint result() {
  return group_id() * results_in_group() + (ROWS != 0 ? gl_LocalInvocationID.x / LANES
                                                      : gl_LocalInvocationID.x % results_in_group());
}

// Every invocation of the group calls these.
#define LANE_TREE(COMBINE)                                                               \
  if (LANES == 1) return v;                                                              \
  const uint i = gl_LocalInvocationID.x, apart = ROWS != 0 ? 1 : results_in_group();     \
  barrier();                                                                             \
  group_values[i] = v;                                                                   \
  barrier();                                                                             \
  for (uint n = LANES / 2; n > 0; n /= 2) {                                              \
    if (lane() < n) group_values[i] = COMBINE(group_values[i], group_values[i + n * apart]); \
    barrier();                                                                           \
  }                                                                                      \
  return group_values[i - lane() * apart];

float add_of(float a, float b) { return a + b; }
// A NaN in either is the result.
float max_of(float a, float b) { return is_nan(a) ? a : is_nan(b) ? b : a > b ? a : b; }

float lane_sum(float v) { LANE_TREE(add_of) }
float lane_max(float v) { LANE_TREE(max_of) }

float chunk_max(Chunk c) {
  if (CHUNK == 1) return c.a.x;
  float m = max_of(max_of(c.a.x, c.a.y), max_of(c.a.z, c.a.w));
  return CHUNK == 4 ? m : max_of(m, max_of(max_of(c.b.x, c.b.y), max_of(c.b.z, c.b.w)));
}
float chunk_sum(Chunk c) {
  if (CHUNK == 1) return c.a.x;
  float sum = c.a.x + c.a.y + (c.a.z + c.a.w);
  return CHUNK == 4 ? sum : sum + (c.b.x + c.b.y + (c.b.z + c.b.w));
}

#endif  // GROUP_REDUCE_GLSL
