#version 450
// quantized_matmul on cooperative matrices whose depth is a multiple of 16.
#include "unit16.glsl"
#include "quantized_coopmat.glsl"
