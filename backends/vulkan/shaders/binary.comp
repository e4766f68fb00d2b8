#version 450
// Two inputs with broadcasting: a chunk along the last dimension an invocation, where each input steps
// by one or not at all.
#include "chunk.glsl"
#include "math.glsl"
#include "numbers.glsl"
#include "walk.glsl"

layout(constant_id = 17) const uint OP = 0;
layout(constant_id = 18) const uint STEP_0 = 1;
layout(constant_id = 19) const uint STEP_1 = 1;
layout(constant_id = 20) const uint RANK = 1;

OPERAND(0)
OPERAND(1)
OPERAND(2)
CHUNK_INPUT(0)
CHUNK_INPUT(1)
CHUNK_OUTPUT(2)

#define COUNT param(0)

// A NaN in either operand of min and max is the result.
float apply(float a, float b) {
  switch (OP) {
    case BINARY_ADD: return a + b;
    case BINARY_SUB: return a - b;
    case BINARY_MUL: return a * b;
    case BINARY_DIV: return a / b;
    case BINARY_MIN: return is_nan(a) ? a : is_nan(b) ? b : a < b ? a : b;
    case BINARY_MAX: return is_nan(a) ? a : is_nan(b) ? b : a > b ? a : b;
    case BINARY_POW: return pow_of(a, b);
    case BINARY_LESS: return float(is_less(a, b));
    default: return float(is_equal(a, b));
  }
}

int iapply(int a, int b) {
  switch (OP) {
    case BINARY_ADD: return a + b;
    case BINARY_SUB: return a - b;
    case BINARY_MUL: return a * b;
    case BINARY_MIN: return min(a, b);
    case BINARY_MAX: return max(a, b);
    case BINARY_LESS: return int(a < b);
    default: return int(a == b);
  }
}

void apply_one(uint i, uint at_0, uint at_1) {
  if (DTYPE_0 >= I32 && DTYPE_0 <= BOOL)
    istore_2(i, iapply(iload_0(at_0), iload_1(at_1)));
  else
    store_2(i, apply(load_0(at_0), load_1(at_1)));
}

void main() {
  uint i = global_id() * CHUNK, at[2];
  if (i >= COUNT) return;
  WALK_OFFSETS(1, RANK, 2, i, at)
  if (CHUNK == 1 || COUNT - i < CHUNK) {
    for (uint j = 0; j < min(CHUNK, COUNT - i); ++j)
      apply_one(i + j, at[0] + j * STEP_0, at[1] + j * STEP_1);
    return;
  }
  Chunk splat_0, splat_1;
  if (STEP_0 == 0) splat_0.a = splat_0.b = vec4(load_0(at[0]));
  if (STEP_1 == 0) splat_1.a = splat_1.b = vec4(load_1(at[1]));
  float a[8] = values_of(STEP_0 != 0 ? get_chunk_0(at[0]) : splat_0);
  float b[8] = values_of(STEP_1 != 0 ? get_chunk_1(at[1]) : splat_1);
  [[unroll]] for (uint j = 0; j < CHUNK; ++j) a[j] = apply(a[j], b[j]);
  put_chunk_2(i, chunk_of(a));
}
