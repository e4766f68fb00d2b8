#version 450
// Keys or values of attention in the order in which invocations hold cooperative matrices, for
// attention_coopmat2_packed.comp: TN keys a subgroup. What is beyond the last key or column is zero.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "tensor.glsl"
#include "packed.glsl"

layout(constant_id = 16) const uint DIM = 128;  // a multiple of 8
layout(constant_id = 17) const bool VALUES = false;  // keys are columns of a matrix, values its rows
layout(constant_id = 18) const bool HAS_LENGTHS = false;
layout(constant_id = 19) const uint SUBGROUPS = 4;
layout(constant_id = 20) const uint TN = 16;  // TK: the same

OPERAND(0)  // k or v [B, M, Hkv, DIM]
OPERAND(1)  // key_lengths [B]
OPERAND(2)  // packed

#define KEYS param(0)
#define KEY_HEADS param(1)
#define TILES param(2)  // of TN keys, a head
#define ALL_TILES param(3)

const uint kDeep = (DIM + TN - 1) / TN, kUnits = kDeep * TN / 8, kPitch = kUnits + 1;
shared uvec4 pool[SUBGROUPS * TN * kPitch];

void main() {
  const uint lane = gl_SubgroupInvocationID, own = gl_SubgroupID * TN * kPitch;
  const uint tile = group_id() * SUBGROUPS + gl_SubgroupID;
  const uint head = tile / TILES % KEY_HEADS, batch = tile / TILES / KEY_HEADS;
  if (tile >= ALL_TILES) return;
  const uint keys = HAS_LENGTHS ? uint(clamp(iload_1(batch), 0, int(KEYS))) : KEYS;
  for (uint i = lane; i < TN * kUnits; i += gl_SubgroupSize) {
    const uint key = tile % TILES * TN + i / kUnits;
    uvec4 v = uvec4(0);
    if (key < keys && i % kUnits < DIM / 8)
      v = quad_0(((batch * KEYS + key) * KEY_HEADS + head) * (DIM / 8) + i % kUnits);
    pool[own + i / kUnits * kPitch + i % kUnits] = v;
  }
  subgroupBarrier();
  for (uint k = 0; k < kDeep; ++k) {
    coopmat<float16_t, gl_ScopeSubgroup, TN, TN, gl_MatrixUseB> b;
    if (VALUES)
      coopMatLoad(b, pool, own + k * TN / 8, kPitch, gl_CooperativeMatrixLayoutRowMajor);
    else
      coopMatLoad(b, pool, own + k * TN / 8, kPitch, gl_CooperativeMatrixLayoutColumnMajor);
    put_quad_2((tile * kDeep + k) * gl_SubgroupSize + lane, QUAD_OF_MATRIX(b));
  }
}
