#version 450
// Another dtype. To integers: toward zero, saturated, NaN to 0. To bool: x ≠ 0.
#include "math.glsl"
#include "tensor.glsl"

layout(constant_id = 17) const uint VECTOR = 0;  // both are f32, f16 or bf16

OPERAND(0)
OPERAND(1)

#define COUNT param(0)

bool is_integer(uint dtype) { return dtype >= I32 && dtype <= BOOL; }

int saturate(float v) {
  float lo = -2147483648.0, hi = 2147483647.0;
  if (DTYPE_1 == I8) { lo = -128.0; hi = 127.0; }
  if (DTYPE_1 == U8) { lo = 0.0; hi = 255.0; }
  if (is_nan(v)) return 0;
  if (v >= 2147483648.0) return DTYPE_1 == I32 || DTYPE_1 == I64 ? 2147483647 : int(hi);
  return int(clamp(v, lo, hi));
}

void main() {
  uint i = global_id();
  if (VECTOR != 0) {
    if (i < COUNT / 4) store4_1(4 * i, load4_0(4 * i));
    return;
  }
  if (i >= COUNT) return;
  if (is_integer(DTYPE_0) && is_integer(DTYPE_1)) {
    int v = iload_0(i);
    if (DTYPE_1 == I8) v = clamp(v, -128, 127);
    if (DTYPE_1 == U8) v = clamp(v, 0, 255);
    istore_1(i, DTYPE_1 == BOOL ? int(v != 0) : v);
  } else if (DTYPE_1 == BOOL) {
    istore_1(i, int(load_0(i) != 0.0));
  } else if (is_integer(DTYPE_1)) {
    istore_1(i, saturate(load_0(i)));
  } else {
    store_1(i, load_0(i));
  }
}
