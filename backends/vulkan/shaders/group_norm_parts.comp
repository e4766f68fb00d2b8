#version 450
// Statistics of each column over each block.
#include "group_norm.glsl"

ROW_OPERAND(0)  // x
OPERAND(1)      // moments of [batch, block, column]

shared Moments parts[256];

const uint kTogether = 4;  // positions

void main() {
  const uint id = gl_LocalInvocationIndex, tile = TILE, positions = POSITIONS;
  const uint tile_id = group_id() % TILES, rest = group_id() / TILES;
  const uint block = rest % BLOCKS, batch = rest / BLOCKS;
  const uint column = tile_id * tile + id % tile, slot = id / tile, abreast = ABREAST;
  const bool exists = column < COLUMNS && slot < abreast;

  // All values around the first one.
  Moments total = Moments(0, 0, 0, 0);
  const uint begin = block * BLOCK + slot, end = min(begin - slot + BLOCK, positions);
  if (exists && begin < end) {
    const uint first = batch * positions;
    total.mean = get_0((first + begin) * WIDTH, 1, column).a.x;
    for (uint p = begin; p < end; p += kTogether * abreast) {
      Chunk x[kTogether];
      [[unroll]] for (uint k = 0; k < kTogether; ++k)
        x[k] = get_0((first + min(p + k * abreast, end - 1)) * WIDTH, 1, column);
      float sum = 0, squares = 0;
      [[unroll]] for (uint k = 0; k < kTogether; ++k) {
        precise vec4 a = x[k].a - total.mean, b = x[k].b - total.mean;
        x[k] = Chunk(a, b);
        sum += p + k * abreast < end ? chunk_sum(x[k]) : 0;
      }
      float n = float(min((end - p + abreast - 1) / abreast, kTogether) * CHUNK), mean = sum / n;
      [[unroll]] for (uint k = 0; k < kTogether; ++k)
        squares += p + k * abreast < end ? chunk_squares(chunk_minus(x[k], mean)) : 0;
      float count = total.count + n, share = n / count, delta = mean - total.rest;
      total.rest += delta * share;
      total.squares += squares + delta * delta * total.count * share;
      total.count = count;
    }
  }
  parts[id] = total;
  barrier();
  if (id < tile && exists) {
    for (uint r = 1; r < abreast; ++r) total = merge(total, parts[id + r * tile]);
    put_quad_1((batch * BLOCKS + block) * COLUMNS + column, pack(total));
  }
}
