#version 450
// Mean and 1/√(variance + ε) of each group of each sample.
#include "group_norm.glsl"

OPERAND(0)  // moments of [batch, block, column]
OPERAND(1)  // mean, rest and factor of [batch, group]

shared Moments parts[128];

void main() {
  const uint id = gl_LocalInvocationIndex, columns = GROUP_COLUMNS, blocks = BLOCKS;
  const uint batch = group_id() / GROUPS, first = group_id() % GROUPS * columns;
  Moments total = Moments(0, 0, 0, 0);
  for (uint i = id; i < blocks * columns; i += 128) {
    uint block = i / columns, n = min(BLOCK, POSITIONS - block * BLOCK) * CHUNK;
    uvec4 part = quad_0((batch * blocks + block) * COLUMNS + first + i % columns);
    total = merge(total, unpack(float(n), part));
  }
  parts[id] = total;
  for (uint reach = 64; reach > 0; reach /= 2) {
    barrier();
    if (id < reach) parts[id] = merge(parts[id], parts[id + reach]);
  }
  if (id == 0) {
    total = parts[0];
    total.squares = 1.0 / sqrt(total.squares / total.count + EPSILON);
    put_quad_1(group_id(), pack(total));
  }
}
