#version 450
// x + gate·y, row after row; gate broadcasts.
#include "rows.glsl"

layout(constant_id = 20) const uint GATE_STEP = 1;  // from element to element of a row

ROW_OPERAND(0)  // x
ROW_OPERAND(1)  // y
ROW_OPERAND(2)  // gate
ROW_OUTPUT(3)

#define ROWS param(0)
#define WIDTH param(1)
// 2: broadcast_row() of gate

void main() {
  const uint row = row_id(), width = WIDTH, first = row * width;
  if (row >= ROWS) return;
  const uint at = broadcast_row(row, 2, RANK).x;
  for (uint c = lane_id(); c < width / CHUNK; c += LANES) {
    Chunk x = get_0(first, 1, c), y = get_1(first, 1, c), g = get_2(at, GATE_STEP, c);
    put_3(first, c, Chunk(x.a + g.a * y.a, x.b + g.b * y.b));
  }
}
