#version 450
// Mean and 1/√(variance + ε) of each group of each sample.
#include "group_norm.glsl"

OPERAND(0)  // mean and squares of [batch, block, column]
OPERAND(1)  // mean and factor of [batch, group]

shared vec3 parts[128];

void main() {
  const uint id = gl_LocalInvocationIndex, columns = GROUP_COLUMNS, blocks = BLOCKS;
  const uint batch = group_id() / GROUPS, first = group_id() % GROUPS * columns;
  vec3 total = vec3(0);
  for (uint i = id; i < blocks * columns; i += 128) {
    uint block = i / columns, n = min(BLOCK, POSITIONS - block * BLOCK) * CHUNK;
    uvec2 part = pair_0((batch * blocks + block) * COLUMNS + first + i % columns);
    total = merge(total, vec3(float(n), uintBitsToFloat(part)));
  }
  parts[id] = total;
  for (uint reach = 64; reach > 0; reach /= 2) {
    barrier();
    if (id < reach) parts[id] = merge(parts[id], parts[id + reach]);
  }
  if (id == 0) {
    total = parts[0];
    put_pair_1(group_id(),
               floatBitsToUint(vec2(total.y, 1.0 / sqrt(total.z / total.x + EPSILON))));
  }
}
