#version 450
// condition ? a : b with broadcasting; copies bits of SIZE bytes.
#include "tensor.glsl"
#include "walk.glsl"

layout(constant_id = 16) const uint RANK = 1;
layout(constant_id = 17) const uint SIZE = 4;

OPERAND(0)
OPERAND(1)
OPERAND(2)
OPERAND(3)

#define COUNT param(0)

void main() {
  uint i = global_id(), at[3];
  if (i >= COUNT) return;
  WALK_OFFSETS(1, RANK, 3, i, at)
  bool first = byte_0(at[0]) != 0;
  if (SIZE == 1) put_byte_3(i, first ? byte_1(at[1]) : byte_2(at[2]));
  if (SIZE == 2) put_half_3(i, first ? half_1(at[1]) : half_2(at[2]));
  if (SIZE == 4) put_word_3(i, first ? word_1(at[1]) : word_2(at[2]));
  if (SIZE == 8) put_pair_3(i, first ? pair_1(at[1]) : pair_2(at[2]));
}
