#version 450
// residual_norm_quantize: the sum of two rows, gated, and its norm as 8-bit numbers.
#define RESIDUAL
#define QUANTIZED
#include "row_norm.glsl"
