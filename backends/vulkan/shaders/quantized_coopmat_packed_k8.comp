#version 450
// quantized_matmul with a packed weight, 8 bytes of a matrix an invocation.
#include "unit8.glsl"
#include "quantized_coopmat_packed.glsl"
