#version 450
// One matrix of the whole group, tensors addressed by the hardware.
#define TENSORS
#define SCOPE gl_ScopeWorkgroup
#include "attention_coopmat2.glsl"
