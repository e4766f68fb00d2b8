#version 450
// Keys and values from memory, in the order of matrices.
#define PACKED
#include "attention_coopmat2_rows.glsl"
