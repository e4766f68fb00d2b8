#version 450
// A weight of i8 in the order of matrix units, 16 bytes of a matrix an invocation.
#include "unit16.glsl"
#include "pack_coopmat_i8.glsl"
