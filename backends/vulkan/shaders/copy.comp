#version 450
// Moves elements: output offset 1 takes input offset 0, both by their strides from a base. Elements of
// SIZE bytes, 16 where runs allow it.
#include "tensor.glsl"
#include "walk.glsl"

layout(constant_id = 16) const uint RANK = 1;
layout(constant_id = 17) const uint SIZE = 4;

OPERAND(0)
OPERAND(1)

#define COUNT param(0)
#define BASE_0 param(1)
#define BASE_1 param(2)

void main() {
  uint i = global_id(), at[2];
  if (i >= COUNT) return;
  WALK_OFFSETS(3, RANK, 2, i, at)
  uint from = at[0] + BASE_0, to = at[1] + BASE_1;
  if (SIZE == 1) put_byte_1(to, byte_0(from));
  if (SIZE == 2) put_half_1(to, half_0(from));
  if (SIZE == 4) put_word_1(to, word_0(from));
  if (SIZE == 8) put_pair_1(to, pair_0(from));
  if (SIZE == 16) put_quad_1(to, quad_0(from));
}
