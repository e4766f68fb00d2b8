#version 450
// A tile of BM × BN by a group and of WM × WN by a subgroup, through cooperative matrices with f32
// sums. While a stage of BK columns is multiplied, the next is on its way in registers.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "contraction_coopmat.glsl"

#ifndef FIXED
layout(constant_id = 29) const uint WM = 64;  // tile of a subgroup
layout(constant_id = 30) const uint WN = 32;
layout(constant_id = 31) const uint TM = 16;  // one cooperative matrix
layout(constant_id = 32) const uint TN = 16;
layout(constant_id = 33) const uint TK = 16;
// In shared memory: with two, one is written while the other is read.
layout(constant_id = 34) const uint STAGES = 2;
#endif

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
  if (!(WIDE_A && MODE == MATMUL)) {
    for (uint i = thread; i < BM; i += GROUP) rows[i] = row_of(p, p.tile_m * BM + i);
    barrier();
  }

  const uint a_column = thread % kAcrossA, a_row = thread / kAcrossA;
  const uint b_column = thread % kAcrossB, b_row = thread / kAcrossB;
  const uint n0 = p.tile_n * BN;
  Column column = column_at(a_column * 8), below = column_at(TRANSPOSE_B ? b_column * 8 : b_row);
  uvec4 next_a[kLoadsA], next_b[kLoadsB];

  coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum[kDown * kAcross];
  [[unroll]] for (uint i = 0; i < kDown * kAcross; ++i)
    sum[i] = coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);

  bool inside_a[kLoadsA], inside_b[kLoadsB];
#define A_ROW(R)                                                                                \
  (WIDE_A && MODE == MATMUL ? row_of(p, min(p.tile_m * BM + (R), M - 1)) : rows[R])
#define FETCH                                                                                   \
  {                                                                                             \
    [[unroll]] for (uint i = 0; i < kLoadsA; ++i)                                               \
      next_a[i] = fetch8_a(p, A_ROW(a_row + i * kStepA), column, inside_a[i]);                  \
    [[unroll]] for (uint i = 0; i < kLoadsB; ++i) {                                             \
      Column at = below;                                                                        \
      if (!TRANSPOSE_B) at.k += i * kStepB;                                                     \
      next_b[i] = fetch8_b(p, at, n0 + (TRANSPOSE_B ? b_row + i * kStepB : b_column * 8),       \
                           inside_b[i]);                                                        \
    }                                                                                           \
    below = advance(below);                                                                     \
    column = advance(column);                                                                   \
  }
#define KEEP(STAGE)                                                                             \
  {                                                                                             \
    const uint to = STAGES == 2 ? ((STAGE) & 1u) * kStage : 0;                                  \
    [[unroll]] for (uint i = 0; i < kLoadsA; ++i)                                               \
      pool[to + (a_row + i * kStepA) * kPitchA + a_column] =                                    \
          inside_a[i] ? next_a[i] : uvec4(0);                                                   \
    [[unroll]] for (uint i = 0; i < kLoadsB; ++i)                                               \
      pool[to + kTileA + (b_row + i * kStepB) * kPitchB + b_column] =                           \
          inside_b[i] ? next_b[i] : uvec4(0);                                                   \
  }
#define MULTIPLY(STAGE)                                                                         \
  {                                                                                             \
    const uint from = STAGES == 2 ? ((STAGE) & 1u) * kStage : 0;                                \
    [[unroll]] for (uint k = 0; k < BK / TK; ++k) {                                             \
      coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> a[kDown];                     \
      [[unroll]] for (uint i = 0; i < kDown; ++i)                                               \
        coopMatLoad(a[i], pool, from + (subgroup_m + i * TM) * kPitchA + k * TK / 8, kPitchA,   \
                    gl_CooperativeMatrixLayoutRowMajor);                                        \
      [[unroll]] for (uint j = 0; j < kAcross; ++j) {                                           \
        coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> b;                          \
        const uint n = subgroup_n + j * TN;                                                     \
        if (TRANSPOSE_B)                                                                        \
          coopMatLoad(b, pool, from + kTileA + n * kPitchB + k * TK / 8, kPitchB,               \
                      gl_CooperativeMatrixLayoutColumnMajor);                                   \
        else                                                                                    \
          coopMatLoad(b, pool, from + kTileA + k * TK * kPitchB + n / 8, kPitchB,               \
                      gl_CooperativeMatrixLayoutRowMajor);                                      \
        [[unroll]] for (uint i = 0; i < kDown; ++i)                                             \
          sum[i * kAcross + j] = coopMatMulAdd(a[i], b, sum[i * kAcross + j]);                  \
      }                                                                                         \
    }                                                                                           \
  }
  // No branches within the loop: compilers move loads across multiplications only where there are
  // none, and copy the sums where they meet.
  const uint steps = (K + BK - 1) / BK;
  FETCH
  KEEP(0)
  barrier();
  for (uint step = 1; step < steps; ++step) {
    FETCH
    MULTIPLY(step - 1)
    if (STAGES == 1) barrier();
    KEEP(step)
    barrier();
  }
  if (steps > 0) MULTIPLY(steps - 1)
  barrier();

  // One row of matrices after the other. Not a loop: its index into `sum` would have to be unrolled
  // together with the loop within.
  const uint stage = gl_SubgroupID * kStageC;
#define LEAVE(I)                                                                             \
  if (I < kDown) {                                                                           \
    [[unroll]] for (uint j = 0; j < kAcross; ++j)                                            \
      coopMatStore(sum[min(I, kDown - 1) * kAcross + j], pool, stage + j * TN / 4, kPitchC,  \
                   gl_CooperativeMatrixLayoutRowMajor);                                      \
    barrier();                                                                               \
    for (uint e = gl_SubgroupInvocationID; e < TM * WN / 4; e += gl_SubgroupSize) {          \
      uint r = e / (WN / 4), c = e % (WN / 4);                                               \
      store_c(p, p.tile_m * BM + subgroup_m + I * TM + r, n0 + subgroup_n + c * 4,           \
              uintBitsToFloat(pool[stage + r * kPitchC + c]));                               \
    }                                                                                        \
    barrier();                                                                               \
  }
  LEAVE(0) LEAVE(1) LEAVE(2) LEAVE(3) LEAVE(4) LEAVE(5) LEAVE(6) LEAVE(7)
}
