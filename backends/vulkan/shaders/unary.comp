#version 450
// One float input, one output, elementwise: a chunk an invocation.
#include "chunk.glsl"
#include "numbers.glsl"

layout(constant_id = 17) const uint OP = 0;

OPERAND(0)
OPERAND(1)
CHUNK_INPUT(0)
CHUNK_OUTPUT(1)

#define NARROW (DTYPE_1 != F32)
#include "math.glsl"

#define COUNT param(0)

float apply(float x) {
  switch (OP) {
    case UNARY_NEG: return uintBitsToFloat(floatBitsToUint(x) ^ 0x80000000u);
    case UNARY_ABS: return uintBitsToFloat(floatBitsToUint(x) & 0x7fffffffu);
    case UNARY_EXP: return exp_of(x);
    case UNARY_LOG: return log_of(x);
    case UNARY_SQRT: return sqrt(x);
    case UNARY_RSQRT: return 1.0 / sqrt(x);
    case UNARY_SIN: return sin_of(x, 0);
    case UNARY_COS: return sin_of(x, 1);
    case UNARY_TANH: return tanh_of(x);
    case UNARY_SIGMOID: return sigmoid_of(x);
    case UNARY_SILU: return silu_of(x);
    case UNARY_GELU_TANH: return gelu_tanh_of(x);
    case UNARY_GELU: return gelu_of(x);
    case UNARY_RELU: return is_nan(x) || floatBitsToInt(x) > 0 ? x : 0.0;
    default: return floor(x);
  }
}

void main() {
  uint i = global_id() * CHUNK;
  if (i >= COUNT) return;
  if (CHUNK > 1 && COUNT - i < CHUNK) {  // the last one
    for (; i < COUNT; ++i) store_1(i, apply(load_0(i)));
    return;
  }
  float v[8] = values_of(get_chunk_0(i));
  [[unroll]] for (uint j = 0; j < CHUNK; ++j) v[j] = apply(v[j]);
  put_chunk_1(i, chunk_of(v));
}
