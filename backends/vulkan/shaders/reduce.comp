#version 450
// Sum, mean or maximum over some dimensions. The kept dimensions and the reduced ones are each merged
// and walked; a group makes one output where GROUP is set, else an invocation.
#include "group_reduce.glsl"
#include "tensor.glsl"

layout(constant_id = 16) const uint OP = 0;  // sum, mean, max
layout(constant_id = 17) const uint GROUP = 0;
layout(constant_id = 18) const uint KEPT = 1;     // ranks
layout(constant_id = 19) const uint REDUCED = 1;

OPERAND(0)
OPERAND(1)

#define OUTPUTS param(0)
#define COUNT param(1)
#define SCALE uintBitsToFloat(param(2))
const uint kKept = 3;  // extents, then strides

uint offset_of(uint first, uint rank, uint index) {
  uint offset = 0;
  for (int d = int(rank) - 1; d >= 0; --d) {
    uint position = index;
    if (d > 0) {
      uint extent = param(first + uint(d));
      index /= extent;
      position -= index * extent;
    }
    offset += position * param(first + rank + uint(d));
  }
  return offset;
}

float start() { return OP == 2 ? uintBitsToFloat(0xff800000u) : 0.0; }
float combine(float a, float b) { return OP == 2 ? max_of(a, b) : a + b; }

void main() {
  uint step = GROUP != 0 ? GROUP_SIZE : 1;
  uint o = GROUP != 0 ? group_id() : global_id();
  if (o >= OUTPUTS) return;
  uint base = offset_of(kKept, KEPT, o);
  float total = start();
  // Partial results of 32 elements keep the rounding of long sums small.
  for (uint i = GROUP != 0 ? gl_LocalInvocationID.x : 0; i < COUNT;) {
    float part = start();
    for (uint n = 0; n < 32 && i < COUNT; ++n, i += step)
      part = combine(part, load_0(base + offset_of(kKept + 2 * KEPT, REDUCED, i)));
    total = combine(total, part);
  }
  if (GROUP != 0) total = OP == 2 ? group_max(total) : group_sum(total);
  if (GROUP == 0 || gl_LocalInvocationID.x == 0) store_1(o, OP == 1 ? total * SCALE : total);
}
