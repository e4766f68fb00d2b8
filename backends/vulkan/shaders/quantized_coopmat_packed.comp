#version 450
// quantized_matmul with a packed weight, 16 bytes of a matrix an invocation.
#include "unit16.glsl"
#include "quantized_coopmat_packed.glsl"
