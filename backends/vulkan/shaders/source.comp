#version 450
// fill and iota: start + i·step.
#include "tensor.glsl"

layout(constant_id = 16) const uint INTEGER = 0;

OPERAND(0)

#define COUNT param(0)
#define START param(1)
#define STEP param(2)

void main() {
  uint i = global_id();
  if (i >= COUNT) return;
  if (INTEGER != 0) {
    istore_0(i, int(START) + int(i) * int(STEP));
  } else {
    precise float v = uintBitsToFloat(START) + float(i) * uintBitsToFloat(STEP);
    store_0(i, v);
  }
}
