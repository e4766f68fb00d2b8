// Sums and maxima over a work group in a fixed order, through shared memory: the same bits on every
// run. All invocations must call; the group's size is a power of two.
#ifndef GROUP_REDUCE_GLSL
#define GROUP_REDUCE_GLSL

#include "math.glsl"
#include "tensor.glsl"

// The largest group that any shader of this backend has.
shared float group_values[256];

#define GROUP_TREE(COMBINE)                                                     \
  uint i = gl_LocalInvocationID.x;                                              \
  barrier();                                                                    \
  group_values[i] = v;                                                          \
  barrier();                                                                    \
  for (uint n = GROUP_SIZE / 2; n > 0; n /= 2) {                                \
    if (i < n) group_values[i] = COMBINE(group_values[i], group_values[i + n]); \
    barrier();                                                                  \
  }                                                                             \
  return group_values[0];

float add_of(float a, float b) { return a + b; }
// A NaN in either is the result.
float max_of(float a, float b) { return is_nan(a) || a > b ? a : b; }

float group_sum(float v) { GROUP_TREE(add_of) }
float group_max(float v) { GROUP_TREE(max_of) }

#endif  // GROUP_REDUCE_GLSL
