#version 450
// Swaps two dimensions: x steps by one along rows' tiles, y along columns'. A group moves a tile
// through shared memory so that both sides are read and written along their own last dimension. The
// other dimensions are walked a tile at a time.
#include "tensor.glsl"
#include "walk.glsl"

layout(constant_id = 16) const uint RANK = 1;  // of the dimensions that stay
layout(constant_id = 17) const uint SIZE = 4;  // bytes of an element: 1, 2 or 4
// Of two-byte elements, words of two move; extents, strides and bases are even.
layout(constant_id = 18) const bool PAIRS = false;

OPERAND(0)
OPERAND(1)

#define WIDTH param(0)     // of y's last dimension
#define HEIGHT param(1)    // of x's dimension with step 1
#define STRIDE_0 param(2)  // of x along y's last dimension
#define STRIDE_1 param(3)  // of y along x's
#define ACROSS param(4)    // tiles of WIDTH, then as a divisor
#define DOWN param(7)      // tiles of HEIGHT, then as a divisor

// Words: 32 rows of 32 elements, or 64 rows of 32 pairs. One of padding lays a column over all banks.
const uint kPitch = 33, kStep = 4;  // of 128 invocations, 32 along a row
shared uint tile[64 * kPitch];

uint read_one(uint i) {
  if (SIZE == 1) return byte_0(i);
  if (SIZE == 2) return half_0(i);
  return word_0(i);
}
void write_one(uint i, uint v) {
  if (SIZE == 1) put_byte_1(i, v);
  else if (SIZE == 2) put_half_1(i, v);
  else put_word_1(i, v);
}

void main() {
  const uint lane = gl_LocalInvocationID.x % 32, first = gl_LocalInvocationID.x / 32;
  const uint side = PAIRS ? 64 : 32, unit = PAIRS ? 2 : 1;
  uint at[2], tiles = quotient(group_id(), param(5), param(6));
  const uint column = (group_id() - tiles * ACROSS) * side;
  const uint outer = quotient(tiles, param(8), param(9)), row = (tiles - outer * DOWN) * side;
  WALK_OFFSETS(10, RANK, 2, outer, at)

  // Beyond the edge the last one is read again: all loads are under way at once.
  const uint from = at[0] + min(row + lane * unit, HEIGHT - unit);
  uint words[16];
  [[unroll]] for (uint k = 0; k < 16; ++k) {
    if (k * kStep < side) {
      uint i = from + min(column + first + k * kStep, WIDTH - 1) * STRIDE_0;
      words[k] = PAIRS ? word_0(i / 2) : read_one(i);
    }
  }
  [[unroll]] for (uint k = 0; k < 16; ++k)
    if (k * kStep < side) tile[(first + k * kStep) * kPitch + lane] = words[k];
  barrier();
  const uint x = column + lane * unit, to = at[1] + x;
  if (x >= WIDTH) return;
  for (uint r = first; r < 32 && row + r * unit < HEIGHT; r += kStep) {
    uint i = to + (row + r * unit) * STRIDE_1;
    if (PAIRS) {
      uint a = tile[2 * lane * kPitch + r], b = tile[(2 * lane + 1) * kPitch + r];
      put_word_1(i / 2, a & 0xffffu | b << 16);
      put_word_1((i + STRIDE_1) / 2, a >> 16 | b & 0xffff0000u);
    } else {
      write_one(i, tile[lane * kPitch + r]);
    }
  }
}
