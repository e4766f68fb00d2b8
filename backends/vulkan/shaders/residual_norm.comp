#version 450
// residual_norm: the sum of two rows, gated, and its norm.
#define RESIDUAL
#include "row_norm.glsl"
