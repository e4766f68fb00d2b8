#version 450
// quantized_matmul on cooperative matrices whose depth is an odd multiple of 8.
#include "unit8.glsl"
#include "quantized_coopmat.glsl"
