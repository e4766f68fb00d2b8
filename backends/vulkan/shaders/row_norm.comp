#version 450
// rms_norm, layer_norm and norm_modulate.
#include "row_norm.glsl"
