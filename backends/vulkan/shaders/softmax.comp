#version 450
// Softmax of columns of COUNT elements, INNER apart. A group makes a column where GROUP is set, else an
// invocation. The output may be the input.
#include "group_reduce.glsl"
#include "tensor.glsl"

layout(constant_id = 16) const uint GROUP = 0;

OPERAND(0)
OPERAND(1)

#define COLUMNS param(0)
#define COUNT param(1)
#define INNER param(2)

void main() {
  uint step = GROUP != 0 ? GROUP_SIZE : 1;
  uint first = GROUP != 0 ? gl_LocalInvocationID.x : 0;
  uint c = GROUP != 0 ? group_id() : global_id();
  if (c >= COLUMNS) return;
  uint row = c / INNER, base = row * COUNT * INNER + (c - row * INNER);
  float most = uintBitsToFloat(0xff800000u);
  for (uint i = first; i < COUNT; i += step) most = max_of(most, load_0(base + i * INNER));
  if (GROUP != 0) most = group_max(most);
  float sum = 0.0;
  for (uint i = first; i < COUNT;) {
    float part = 0.0;
    for (uint n = 0; n < 32 && i < COUNT; ++n, i += step)
      part += exp_of(load_0(base + i * INNER) - most);
    sum += part;
  }
  if (GROUP != 0) sum = group_sum(sum);
  for (uint i = first; i < COUNT; i += step)
    store_1(base + i * INNER, exp_of(load_0(base + i * INNER) - most) / sum);
}
