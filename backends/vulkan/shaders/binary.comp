#version 450
// Two inputs with broadcasting. Four elements along the last dimension an invocation where VECTOR is
// set: there each input steps by one or not at all.
#include "math.glsl"
#include "tensor.glsl"
#include "walk.glsl"

layout(constant_id = 17) const uint OP = 0;  // order of kBinaryOps in elementwise.cc
layout(constant_id = 18) const uint VECTOR = 0;
layout(constant_id = 19) const uint STEP_0 = 1;
layout(constant_id = 20) const uint STEP_1 = 1;

OPERAND(0)
OPERAND(1)
OPERAND(2)

#define COUNT param(0)

float apply(float a, float b) {
  switch (OP) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return a / b;
    case 4: return is_nan(a) || a < b ? a : b;
    case 5: return is_nan(a) || a > b ? a : b;
    case 6: return pow_of(a, b);
    case 7: return float(a < b);
    default: return float(a == b);
  }
}

int iapply(int a, int b) {
  switch (OP) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 4: return min(a, b);
    case 5: return max(a, b);
    case 7: return int(a < b);
    default: return int(a == b);
  }
}

void main() {
  uint i = global_id(), at[2];
  if (VECTOR != 0) {
    if (i >= COUNT / 4) return;
    i *= 4;
    WALK_OFFSETS(1, 2, i, at)
    vec4 a = STEP_0 != 0 ? load4_0(at[0]) : vec4(load_0(at[0]));
    vec4 b = STEP_1 != 0 ? load4_1(at[1]) : vec4(load_1(at[1]));
    store4_2(i, vec4(apply(a.x, b.x), apply(a.y, b.y), apply(a.z, b.z), apply(a.w, b.w)));
    return;
  }
  if (i >= COUNT) return;
  WALK_OFFSETS(1, 2, i, at)
  if (DTYPE_0 >= I32 && DTYPE_0 <= BOOL)
    istore_2(i, iapply(iload_0(at[0]), iload_1(at[1])));
  else
    store_2(i, apply(load_0(at[0]), load_1(at[1])));
}
