#version 450
// One input, one output, elementwise. Four elements an invocation where VECTOR is set.
#include "tensor.glsl"

layout(constant_id = 16) const uint OP = 0;  // order of kUnaryOps in elementwise.cc
layout(constant_id = 17) const uint VECTOR = 0;

OPERAND(0)
OPERAND(1)

#define COUNT param(0)

float erf_of(float x) {
  // Abramowitz and Stegun 7.1.26 has 1.5e-7 absolute error only; this is the series and the
  // continued fraction split at 2.
  float a = abs(x), r;
  if (a < 2.0) {
    float term = a, sum = a, a2 = a * a;
    for (int n = 1; n < 30; ++n) {
      term *= -a2 / float(n);
      sum += term / float(2 * n + 1);
    }
    r = sum * 1.1283791670955126;
  } else {
    float f = 0.0;
    for (int n = 30; n >= 1; --n) f = 0.5 * float(n) / (a + f);
    r = 1.0 - exp(-a * a) * 0.5641895835477563 / (a + f);
  }
  return x < 0.0 ? -r : r;
}

float sigmoid(float x) {
  float e = exp(-abs(x));
  return (x >= 0.0 ? 1.0 : e) / (1.0 + e);
}

float apply(float x) {
  switch (OP) {
    case 0: return -x;
    case 1: return abs(x);
    case 2: return exp(x);
    default: return x;
  }
}

void main() {
  uint i = global_id();
  if (VECTOR != 0) {
    i *= 4;
    if (i >= COUNT) return;
    vec4 v = load4_0(i);
    store4_1(i, vec4(apply(v.x), apply(v.y), apply(v.z), apply(v.w)));
  } else {
    if (i >= COUNT) return;
    store_1(i, apply(load_0(i)));
  }
}
