#version 450
// A weight b [K, N] in the order in which matrix units want it: for BLOCK columns at a time and each TK rows
// of them, what every invocation of a subgroup holds of a cooperative matrix, 16 bytes each.
// [columns / BLOCK][k / TK][BLOCK / TN][invocation][8]. What b does not have is zero.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "tensor.glsl"
#include "packed.glsl"

layout(constant_id = 16) const uint TN = 16;
layout(constant_id = 17) const uint TK = 16;
layout(constant_id = 18) const uint SUBGROUPS = 4;
layout(constant_id = 19) const uint BLOCK = 64;

OPERAND(0)  // b, stored [N, K]: some of its columns
OPERAND(1)  // all of the packed weight

#define COLUMNS param(0)  // of b here
#define K param(1)
#define STEPS param(2)          // of TK rows in a packed column
#define FIRST_COLUMN param(3)   // of these in all of b, a multiple of BLOCK

// One matrix a subgroup, columns together, two elements a word.
shared uint words[SUBGROUPS * TN * TK / 2];

uint element(uint n, uint k) { return n < COLUMNS && k < K ? half_0(n * K + k) : 0; }

void main() {
  const uint own = gl_SubgroupID * (TN * TK / 2);
  const uint unit = group_id() * SUBGROUPS + gl_SubgroupID, matrix = unit % (BLOCK / TN);
  const uint step = unit / (BLOCK / TN) % STEPS, block = unit / (BLOCK / TN) / STEPS;
  for (uint w = gl_SubgroupInvocationID; w < TN * TK / 2; w += gl_SubgroupSize) {
    uint n = block * BLOCK + matrix * TN + w / (TK / 2), k = step * TK + w % (TK / 2) * 2;
    words[own + w] = element(n, k) | element(n, k + 1) << 16;
  }
  barrier();
  coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> b;
  coopMatLoad(b, words, own, TK / 2, gl_CooperativeMatrixLayoutColumnMajor);
  if (block * BLOCK >= COLUMNS) return;
  const uint to = (FIRST_COLUMN / BLOCK * STEPS * (BLOCK / TN) + unit) * gl_SubgroupSize;
  put_quad_1(to + gl_SubgroupInvocationID, QUAD_OF_MATRIX(b));
}
