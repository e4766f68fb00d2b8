#version 450
// Statistics of each column over each block.
#include "group_norm.glsl"

ROW_OPERAND(0)  // x
OPERAND(1)      // moments of [batch, block, column]

shared Moments parts[128];

void main() {
  const uint id = gl_LocalInvocationIndex, tile = TILE, positions = POSITIONS;
  const uint tile_id = group_id() % TILES, rest = group_id() / TILES;
  const uint block = rest % BLOCKS, batch = rest / BLOCKS;
  const uint column = tile_id * tile + id % tile, abreast = ABREAST;
  const bool exists = column < COLUMNS && id / tile < abreast;

  // Welford's recurrence, each channel on its own, around the first value.
  Chunk around = Chunk(vec4(0), vec4(0)), mean = around, squares = around;
  float n = 0;
  if (exists) {
    const uint begin = block * BLOCK, end = min(begin + BLOCK, positions);
    for (uint p = begin + id / tile; p < end; p += abreast) {
      Chunk x = get_0((batch * positions + p) * WIDTH, 1, column);
      if (n == 0) around = x;
      n += 1;
      precise vec4 a = x.a - around.a, b = x.b - around.b;
      vec4 away = a - mean.a;
      mean.a += away / n;
      squares.a += away * (a - mean.a);
      away = b - mean.b;
      mean.b += away / n;
      squares.b += away * (b - mean.b);
    }
  }
  // All channels around the first one's.
  const float base = around.a.x;
  precise vec4 a = (around.a - base) + mean.a, b = (around.b - base) + mean.b;
  const Chunk means = Chunk(a, b);
  const float off = chunk_sum(means) / float(CHUNK);
  parts[id] = Moments(n * float(CHUNK), base, off,
                      chunk_sum(squares) + n * chunk_squares(chunk_minus(means, off)));
  barrier();
  if (id < tile && exists) {
    Moments total = parts[id];
    for (uint r = 1; r < abreast; ++r) total = merge(total, parts[id + r * tile]);
    put_quad_1((batch * BLOCKS + block) * COLUMNS + column, pack(total));
  }
}
