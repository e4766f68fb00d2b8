#version 450
// Rows as 8-bit numbers with one factor each.
#include "rows.glsl"

layout(constant_id = 20) const bool INTEGER = true;  // i8; else f8e4m3
layout(constant_id = 21) const bool ROTATE = false;  // blocks of eight: CHUNK is 4 or 8

ROW_OPERAND(0)  // x
OPERAND(1)      // q
OPERAND(2)      // scale

#include "narrow_rows.glsl"
NARROW_ROWS(1, 2)

#define ROWS param(0)
#define WIDTH param(1)

// Neighbours 2 and 1 apart.
vec4 turn(vec4 v) {
  precise vec4 two = vec4(v.xy + v.zw, v.xy - v.zw);
  precise vec4 one = vec4(two.x + two.y, two.x - two.y, two.z + two.w, two.z - two.w);
  return one;
}

// Chunk c of the row that begins at `first`, turned with its neighbour where a block is two chunks.
Chunk get_turned(uint first, uint c) {
  Chunk own = get_0(first, 1, c);
  if (!ROTATE) return own;
  if (CHUNK == 8) {
    precise vec4 sum = own.a + own.b, rest = own.a - own.b;
    return Chunk(turn(sum), turn(rest));
  }
  const vec4 other = get_0(first, 1, c ^ 1u).a;
  precise vec4 four = (c & 1u) == 0u ? own.a + other : other - own.a;
  return Chunk(turn(four), vec4(0));
}

void main() {
  const uint lane = lane_id(), rows = ROWS, width = WIDTH, chunks = width / CHUNK;
  const bool exists = row_id() < rows;
  const uint row = min(row_id(), rows - 1), first = row * width;
  uint most = 0;
  if (KEEP > 0) {
    Chunk kept[MOST_KEPT];
    EACH_KEPT(i) kept[i] = get_turned(first, kept_chunk(lane, i, chunks));
    EACH_KEPT(i) most = max(most, magnitude(kept[i]));
    const float factor = row_factor(most, exists && lane == 0, row);
    if (!exists) return;
    EACH_KEPT(i) {
      if (is_kept(lane, i, chunks)) put_narrow(first + (lane + i * LANES) * CHUNK, kept[i], factor);
    }
    return;
  }
  for (uint c = lane; c < chunks; c += LANES) most = max(most, magnitude(get_turned(first, c)));
  const float factor = row_factor(most, exists && lane == 0, row);
  if (!exists) return;
  for (uint c = lane; c < chunks; c += LANES)
    put_narrow(first + c * CHUNK, get_turned(first, c), factor);
}
