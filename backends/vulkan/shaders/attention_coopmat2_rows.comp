#version 450
// Keys and values through shared memory.
#include "attention_coopmat2_rows.glsl"
