#version 450
// Matrices of a subgroup, loaded element by element: what Mesa's software driver offers of
// VK_NV_cooperative_matrix2, so that the arithmetic can be tested without a GPU.
#define SCOPE gl_ScopeSubgroup
#include "attention_coopmat2.glsl"
