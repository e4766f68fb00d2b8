#version 450
// One float input, one output, elementwise. Four elements an invocation where VECTOR is set.
#include "math.glsl"
#include "tensor.glsl"

layout(constant_id = 16) const uint OP = 0;  // order of kUnaryOps in elementwise.cc
layout(constant_id = 17) const uint VECTOR = 0;

OPERAND(0)
OPERAND(1)

#define COUNT param(0)

float apply(float x) {
  switch (OP) {
    case 0: return uintBitsToFloat(floatBitsToUint(x) ^ 0x80000000u);
    case 1: return uintBitsToFloat(floatBitsToUint(x) & 0x7fffffffu);
    case 2: return exp_of(x);
    case 3: return log_of(x);
    case 4: return sqrt(x);
    case 5: return 1.0 / sqrt(x);
    case 6: return sin_of(x, 0);
    case 7: return sin_of(x, 1);
    case 8: return tanh_of(x);
    case 9: return sigmoid_of(x);
    case 10: return silu_of(x);
    case 11: return gelu_tanh_of(x);
    case 12: return gelu_of(x);
    case 13: return x < 0.0 ? 0.0 : x;
    default: return floor(x);
  }
}

void main() {
  uint i = global_id();
  if (VECTOR != 0) {
    if (i >= COUNT / 4) return;
    vec4 v = load4_0(4 * i);
    store4_1(4 * i, vec4(apply(v.x), apply(v.y), apply(v.z), apply(v.w)));
  } else {
    if (i >= COUNT) return;
    store_1(i, apply(load_0(i)));
  }
}
