#version 450
// Mean and 1/√(variance + ε) of each group of each sample.
#include "group_norm.glsl"

OPERAND(0)  // moments of [batch, block, column]
OPERAND(1)  // mean, rest and factor of [batch, group]

shared Moments parts[256];

const uint kTogether = 4;  // loads

void main() {
  const uint id = gl_LocalInvocationIndex, columns = GROUP_COLUMNS, blocks = BLOCKS;
  const uint batch = group_id() / GROUPS, first = group_id() % GROUPS * columns;
  const uint count = blocks * columns;
  Moments total = Moments(0, 0, 0, 0);
  for (uint i = id; i < count; i += kTogether * GROUP_SIZE) {
    Moments part[kTogether];
    [[unroll]] for (uint k = 0; k < kTogether; ++k) {
      uint j = i + k * GROUP_SIZE, at = min(j, count - 1), block = at / columns;
      uint n = j < count ? min(BLOCK, POSITIONS - block * BLOCK) * CHUNK : 0;
      part[k] = unpack(float(n), quad_0((batch * blocks + block) * COLUMNS + first + at % columns));
    }
    [[unroll]] for (uint k = 0; k < kTogether; ++k) total = merge(total, part[k]);
  }
  parts[id] = total;
  for (uint reach = GROUP_SIZE / 2; reach > 0; reach /= 2) {
    barrier();
    if (id < reach) parts[id] = merge(parts[id], parts[id + reach]);
  }
  if (id == 0) {
    total = parts[0];
    total.squares = 1.0 / sqrt(total.squares / total.count + EPSILON);
    put_quad_1(group_id(), pack(total));
  }
}
