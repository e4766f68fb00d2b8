#version 450
// A tile of BM × BN by a group and of WM × WN by a subgroup, through cooperative matrices with f32
// sums. While a stage of BK columns is multiplied, the next is on its way in registers.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "contraction_coopmat.glsl"

layout(constant_id = 29) const uint WM = 64;  // tile of a subgroup
layout(constant_id = 30) const uint WN = 32;
layout(constant_id = 31) const uint TM = 16;  // one cooperative matrix
layout(constant_id = 32) const uint TN = 16;
layout(constant_id = 33) const uint TK = 16;
// In shared memory: with two, one is written while the other is read.
layout(constant_id = 34) const uint STAGES = 2;

const uint kDown = WM / TM, kAcross = WN / TN;
const uint kSubgroups = BM / WM * (BN / WN);
// Sums leave through shared memory, TM × WN a subgroup at a time, as f32.
const uint kPitchC = WN / 4 + 1;
const uint kStageC = TM * kPitchC;
const uint kPool =
    STAGES * kStage > kSubgroups * kStageC ? STAGES * kStage : kSubgroups * kStageC;

shared uvec4 pool[kPool];
shared uvec4 rows[BM];

void main() {
  read_sizes();
  Product p = product_of(group_id());
  const uint thread = gl_LocalInvocationID.x;
  const uint subgroup_m = gl_SubgroupID / (BN / WN) * WM, subgroup_n = gl_SubgroupID % (BN / WN) * WN;
  for (uint i = thread; i < BM; i += GROUP) rows[i] = row_of(p, p.tile_m * BM + i);
  barrier();

  const uint a_column = thread % kAcrossA, a_row = thread / kAcrossA;
  const uint b_column = thread % kAcrossB, b_row = thread / kAcrossB;
  const uint n0 = p.tile_n * BN;
  Column column = column_at(a_column * 8), below = column_at(TRANSPOSE_B ? b_column * 8 : b_row);
  uvec4 next_a[kLoadsA], next_b[kLoadsB];

  coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum[kDown * kAcross];
  [[unroll]] for (uint i = 0; i < kDown * kAcross; ++i)
    sum[i] = coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);

  const uint steps = (K + BK - 1) / BK;
  // Step s loads stage s and multiplies stage s - 1.
  for (uint step = 0; step <= steps; ++step) {
    if (step < steps) {
      [[unroll]] for (uint i = 0; i < kLoadsA; ++i)
        next_a[i] = fetch8_a(p, rows[a_row + i * kStepA], column);
      [[unroll]] for (uint i = 0; i < kLoadsB; ++i) {
        Column at = below;
        if (!TRANSPOSE_B) at.k += i * kStepB;
        next_b[i] = fetch8_b(p, at, n0 + (TRANSPOSE_B ? b_row + i * kStepB : b_column * 8));
      }
      below = advance(below);
      column = advance(column);
    }
    if (step > 0) {
      const uint stage = STAGES == 2 ? (step - 1 & 1u) * kStage : 0;
      [[unroll]] for (uint k = 0; k < BK / TK; ++k) {
        coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> a[kDown];
        [[unroll]] for (uint i = 0; i < kDown; ++i)
          coopMatLoad(a[i], pool, stage + (subgroup_m + i * TM) * kPitchA + k * TK / 8, kPitchA,
                      gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0; j < kAcross; ++j) {
          coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> b;
          const uint n = subgroup_n + j * TN;
          if (TRANSPOSE_B)
            coopMatLoad(b, pool, stage + kTileA + n * kPitchB + k * TK / 8, kPitchB,
                        gl_CooperativeMatrixLayoutColumnMajor);
          else
            coopMatLoad(b, pool, stage + kTileA + k * TK * kPitchB + n / 8, kPitchB,
                        gl_CooperativeMatrixLayoutRowMajor);
          [[unroll]] for (uint i = 0; i < kDown; ++i)
            sum[i * kAcross + j] = coopMatMulAdd(a[i], b, sum[i * kAcross + j]);
        }
      }
    }
    if (STAGES == 1) barrier();
    if (step < steps) {
      const uint stage = STAGES == 2 ? (step & 1u) * kStage : 0;
      [[unroll]] for (uint i = 0; i < kLoadsA; ++i)
        pool[stage + (a_row + i * kStepA) * kPitchA + a_column] = next_a[i];
      [[unroll]] for (uint i = 0; i < kLoadsB; ++i)
        pool[stage + kTileA + (b_row + i * kStepB) * kPitchB + b_column] = next_b[i];
    }
    barrier();
  }

  const uint stage = gl_SubgroupID * kStageC;
  [[unroll]] for (uint i = 0; i < kDown; ++i) {
    [[unroll]] for (uint j = 0; j < kAcross; ++j)
      coopMatStore(sum[i * kAcross + j], pool, stage + j * TN / 4, kPitchC,
                   gl_CooperativeMatrixLayoutRowMajor);
    barrier();
    for (uint e = gl_SubgroupInvocationID; e < TM * WN / 4; e += gl_SubgroupSize) {
      uint r = e / (WN / 4), c = e % (WN / 4);
      store_c(p, p.tile_m * BM + subgroup_m + i * TM + r, n0 + subgroup_n + c * 4,
              uintBitsToFloat(pool[stage + r * kPitchC + c]));
    }
    barrier();
  }
}
