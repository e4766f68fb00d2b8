#version 450
// Swaps two dimensions of whole chunks of 16 bytes: x steps by one along rows, y along columns. An
// invocation turns a block of N x N elements in its registers, 16 bytes an access on both sides.
#include "tensor.glsl"
#include "walk.glsl"

layout(constant_id = 16) const uint RANK = 1;  // of the dimensions that stay
layout(constant_id = 17) const uint N = 8;     // elements of 16 bytes: 8 or 4

OPERAND(0)
OPERAND(1)

#define WIDTH param(0)     // chunks of y's last dimension
#define HEIGHT param(1)    // chunks of x's dimension with step 1
#define STRIDE_0 param(2)  // chunks of x along y's last dimension
#define STRIDE_1 param(3)  // chunks of y along x's
#define ACROSS param(4)    // groups along WIDTH, then as a divisor
#define DOWN param(7)      // groups along HEIGHT, then as a divisor

// Blocks side by side in a group: 8 along HEIGHT, where they read 128 bytes, and along WIDTH as many
// as it has. Of 8 elements the blocks also pass through shared memory and write 128 bytes: 83% of
// a copy's rate on an H100, 71% without. Of 4 elements they write straight: 90%, 82% with.
const uint kDown = 8;
shared uvec4 tile[64 * 8];

void main() {
  const uint id = gl_LocalInvocationID.x, left = id / kDown, top = id % kDown;
  uint at[2], rest = quotient(group_id(), param(5), param(6));
  const uint outer = quotient(rest, param(8), param(9));
  const uint row = (rest - outer * DOWN) * kDown;
  const uint column = (group_id() - rest * ACROSS) * (GROUP_SIZE / kDown);
  WALK_OFFSETS(10, RANK, 2, outer, at)

  // Beyond the edge the last one is read again.
  const uint from = at[0] / N + min(column + left, WIDTH - 1) * N * STRIDE_0 +
                    min(row + top, HEIGHT - 1);
  uvec4 x[8], y[8];
  [[unroll]] for (uint k = 0; k < 8; ++k)
    if (k < N) x[k] = quad_0(from + k * STRIDE_0);
  if (N == 4) {
    if (row + top >= HEIGHT || column + left >= WIDTH) return;
    const uint to = at[1] / N + (row + top) * N * STRIDE_1 + column + left;
    [[unroll]] for (uint k = 0; k < 4; ++k)
      put_quad_1(to + k * STRIDE_1, uvec4(x[0][k], x[1][k], x[2][k], x[3][k]));
    return;
  }
  [[unroll]] for (uint k = 0; k < 8; ++k) {
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      uint a = x[2 * j][k / 2], b = x[2 * j + 1][k / 2];
      y[k][j] = k % 2 == 0 ? a & 0xffffu | b << 16 : a >> 16 | b & 0xffff0000u;
    }
  }
  // Eight chunks an element of HEIGHT, in an order that gives neighbours different banks.
  [[unroll]] for (uint k = 0; k < 8; ++k) tile[(top * 8 + k) * 8 + (left ^ top)] = y[k];
  barrier();
  if (column + top >= WIDTH) return;
  const uint to = at[1] / N + column + top;
  [[unroll]] for (uint k = 0; k < 8; ++k)
    if (row + k < HEIGHT)
      put_quad_1(to + ((row + k) * 8 + left) * STRIDE_1, tile[(k * 8 + left) * 8 + (top ^ k)]);
}
