#version 450
// Rows of a table at given indices, those outside clamped into it. Elements of SIZE bytes.
#include "tensor.glsl"
#include "walk.glsl"

layout(constant_id = 16) const uint SIZE = 4;

OPERAND(0)
OPERAND(1)
OPERAND(2)

#define COUNT param(0)
#define ROWS param(1)
#define ROW param(2)  // then as a divisor

void main() {
  uint i = global_id();
  if (i >= COUNT) return;
  uint which = quotient(i, param(3), param(4)), row = 0;
  if (DTYPE_1 == I64) {
    uvec2 v = pair_1(which);
    if (int(v.y) >= 0) row = v.y != 0u ? ROWS - 1u : min(v.x, ROWS - 1u);
  } else {
    row = uint(clamp(iload_1(which), 0, int(ROWS) - 1));
  }
  uint from = row * ROW + (i - which * ROW);
  if (SIZE == 1) put_byte_2(i, byte_0(from));
  if (SIZE == 2) put_half_2(i, half_0(from));
  if (SIZE == 4) put_word_2(i, word_0(from));
  if (SIZE == 8) put_pair_2(i, pair_0(from));
  if (SIZE == 16) put_quad_2(i, quad_0(from));
}
