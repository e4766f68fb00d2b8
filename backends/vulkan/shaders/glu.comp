#version 450
// activation(a)·b, row after row; a and b may be halves of one row.
#include "rows.glsl"
#include "activation.glsl"

layout(constant_id = 20) const uint ACTIVATION = 0;

ROW_OPERAND(0)  // a
ROW_OPERAND(1)  // b
ROW_OUTPUT(2)

#define ROWS param(0)
#define WIDTH param(1)   // of the output
#define STRIDE param(2)  // from row to row of a and of b
#define FIRST_A param(3)
#define FIRST_B param(4)

void main() {
  const uint row = row_id(), width = WIDTH, first = row * STRIDE;
  if (row >= ROWS) return;
  for (uint c = lane_id(); c < width / CHUNK; c += LANES) {
    Chunk a = get_0(first + FIRST_A, 1, c), b = get_1(first + FIRST_B, 1, c);
    for (uint i = 0; i < min(CHUNK, 4); ++i) {
      a.a[i] = activate(ACTIVATION, a.a[i]);
      if (CHUNK == 8) a.b[i] = activate(ACTIVATION, a.b[i]);
    }
    put_2(row * width, c, Chunk(a.a * b.a, a.b * b.b));
  }
}
