#version 450
// norm_quantize: a norm whose rows are stored as 8-bit numbers.
#define QUANTIZED
#include "row_norm.glsl"
