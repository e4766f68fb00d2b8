#version 450
// A weight of i8 in the order of matrix units, 8 bytes of a matrix an invocation.
#include "unit8.glsl"
#include "pack_coopmat_i8.glsl"
