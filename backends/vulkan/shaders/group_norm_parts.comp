#version 450
// Statistics of each column over each block.
#include "group_norm.glsl"

ROW_OPERAND(0)  // x
OPERAND(1)      // mean and squares of [batch, block, column]

shared vec3 parts[128];

void main() {
  const uint id = gl_LocalInvocationIndex, tile = TILE, positions = POSITIONS;
  const uint tile_id = group_id() % TILES, rest = group_id() / TILES;
  const uint block = rest % BLOCKS, batch = rest / BLOCKS;
  const uint column = tile_id * tile + id % tile, abreast = ABREAST;
  const bool exists = column < COLUMNS && id / tile < abreast;

  // Welford's recurrence, each channel on its own.
  Chunk mean = Chunk(vec4(0), vec4(0)), squares = mean;
  float n = 0;
  if (exists) {
    const uint begin = block * BLOCK, end = min(begin + BLOCK, positions);
    for (uint p = begin + id / tile; p < end; p += abreast) {
      Chunk x = get_0((batch * positions + p) * WIDTH, 1, column);
      n += 1;
      vec4 away = x.a - mean.a;
      mean.a += away / n;
      squares.a += away * (x.a - mean.a);
      away = x.b - mean.b;
      mean.b += away / n;
      squares.b += away * (x.b - mean.b);
    }
  }
  const float all = chunk_sum(mean) / float(CHUNK);
  parts[id] = vec3(n * float(CHUNK), all,
                   chunk_sum(squares) + n * chunk_squares(chunk_minus(mean, all)));
  barrier();
  if (id < tile && exists) {
    vec3 total = parts[id];
    for (uint r = 1; r < abreast; ++r) total = merge(total, parts[id + r * tile]);
    put_pair_1((batch * BLOCKS + block) * COLUMNS + column, floatBitsToUint(total.yz));
  }
}
