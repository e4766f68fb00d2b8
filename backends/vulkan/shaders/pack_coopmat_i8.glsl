// pack_coopmat.comp for i8: what every invocation of a subgroup holds of a cooperative matrix is a UNIT.
// [columns / BLOCK][k / TK][BLOCK / TN][invocation][UNIT_BYTES]. What b does not have is zero.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int32 : require
#include "tensor.glsl"
#include "packed_i8.glsl"

layout(constant_id = 16) const uint TN = 16;
layout(constant_id = 17) const uint TK = 32;
layout(constant_id = 18) const uint SUBGROUPS = 4;
layout(constant_id = 19) const uint BLOCK = 64;

OPERAND(0)  // b, stored [N, K]: some of its columns
OPERAND(1)  // all of the packed weight

#define COLUMNS param(0)  // of b here
#define K param(1)
#define STEPS param(2)          // of TK rows in a packed column
#define FIRST_COLUMN param(3)   // of these in all of b, a multiple of BLOCK

// One matrix a subgroup, columns together, four elements a word.
shared uint words[SUBGROUPS * TN * TK / 4];

uint element(uint n, uint k) { return n < COLUMNS && k < K ? byte_0(n * K + k) : 0; }

void main() {
  const uint own = gl_SubgroupID * (TN * TK / 4);
  const uint unit = group_id() * SUBGROUPS + gl_SubgroupID, matrix = unit % (BLOCK / TN);
  const uint step = unit / (BLOCK / TN) % STEPS, block = unit / (BLOCK / TN) / STEPS;
  for (uint w = gl_SubgroupInvocationID; w < TN * TK / 4; w += gl_SubgroupSize) {
    const uint n = block * BLOCK + matrix * TN + w / (TK / 4), k = step * TK + w % (TK / 4) * 4;
    words[own + w] = element(n, k) | element(n, k + 1) << 8 | element(n, k + 2) << 16 |
                     element(n, k + 3) << 24;
  }
  barrier();
  coopmat<int8_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> b;
  coopMatLoad(b, words, own, TK / 4, gl_CooperativeMatrixLayoutColumnMajor);
  if (block * BLOCK >= COLUMNS) return;
  const uint to = (FIRST_COLUMN / BLOCK * STEPS * (BLOCK / TN) + unit) * gl_SubgroupSize;
  PUT_UNIT_1(to + gl_SubgroupInvocationID, UNIT_OF_MATRIX(b));
}
