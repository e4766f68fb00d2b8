#version 450
// (x − mean)·factor·weight + bias; a row is a position.
#include "group_norm.glsl"
#include "walk.glsl"

layout(constant_id = 20) const bool HAS_WEIGHT = false;
layout(constant_id = 21) const bool HAS_BIAS = false;

ROW_OPERAND(0)  // x
OPERAND(1)      // mean, rest and factor of [batch, group]
ROW_OPERAND(2)  // weight
ROW_OPERAND(3)  // bias
ROW_OUTPUT(4)

void finish(uint first, uint groups, uint c, Chunk x) {
  vec4 stats = uintBitsToFloat(quad_1(groups + quotient(c, param(12), param(13))));
  precise vec4 a = x.a - stats.x - stats.y, b = x.b - stats.x - stats.y;
  x = Chunk(a * stats.z, b * stats.z);
  if (HAS_WEIGHT) {
    Chunk w = get_2(0, 1, c);
    x = Chunk(x.a * w.a, x.b * w.b);
  }
  if (HAS_BIAS) {
    Chunk w = get_3(0, 1, c);
    x = Chunk(x.a + w.a, x.b + w.b);
  }
  put_4(first, c, x);
}

void main() {
  const uint row = row_id(), first = row * WIDTH, lane = lane_id(), chunks = COLUMNS;
  if (row >= BATCH * POSITIONS) return;
  const uint groups = quotient(row, param(14), param(15)) * GROUPS;
  if (KEEP > 0) {
    Chunk kept[MOST_KEPT];
    EACH_KEPT(i) kept[i] = get_0(first, 1, kept_chunk(lane, i, chunks));
    EACH_KEPT(i) {
      if (is_kept(lane, i, chunks)) finish(first, groups, lane + i * LANES, kept[i]);
    }
    return;
  }
  for (uint c = lane; c < chunks; c += LANES) finish(first, groups, c, get_0(first, 1, c));
}
