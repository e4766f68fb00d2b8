// A tile of BM × BN by a group and of WM × WN by a subgroup, through cooperative matrices of i8 with
// i32 sums. Rows of a and b lie in shared memory as in memory, in units of UNIT_BYTES; while a stage
// of BK columns is multiplied, the next is on its way in registers.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#include "quantized.glsl"

layout(constant_id = 20) const uint BK = 64;
layout(constant_id = 21) const bool WIDE = false;  // K is a multiple of UNIT_BYTES
layout(constant_id = 22) const uint WM = 64;       // tile of a subgroup
layout(constant_id = 23) const uint WN = 64;
layout(constant_id = 24) const uint TM = 16;  // one cooperative matrix
layout(constant_id = 25) const uint TN = 16;
layout(constant_id = 26) const uint TK = 32;
layout(constant_id = 27) const uint GROUP = 128;  // invocations

const uint kDown = WM / TM, kAcross = WN / TN, kSubgroups = BM / WM * (BN / WN);
const uint kUnits = BK / UNIT_BYTES, kPitch = kUnits + 1;  // padded against bank conflicts
const uint kTileA = BM * kPitch, kStage = (BM + BN) * kPitch;
const uint kStep = GROUP / kUnits, kLoadsA = BM / kStep, kLoadsB = BN / kStep;
// Sums leave through shared memory, TM × WN a subgroup at a time.
const uint kPitchC = WN * 4 / UNIT_BYTES + 1, kStageC = TM * kPitchC;
const uint kPool = 2 * kStage > kSubgroups * kStageC ? 2 * kStage : kSubgroups * kStageC;

shared UNIT pool[kPool];

// A unit of row `row` from column k on; zeros outside.
#define FETCH(K_OPERAND, NAME, ROWS)                                            \
  UNIT NAME(uint row, uint k) {                                                 \
    const bool inside = row < ROWS && k < K;                                    \
    if (WIDE) { /* without branches: loads follow one another */                \
      UNIT v = READ_UNIT_##K_OPERAND(inside ? row * (K / UNIT_BYTES) + k / UNIT_BYTES : 0u); \
      return inside ? v : UNIT(0);                                              \
    }                                                                           \
    UNIT v = UNIT(0);                                                           \
    if (!inside) return v;                                                      \
    uint at = row * K + k, count = min(UNIT_BYTES, K - k);                      \
    for (uint i = 0; i < count; ++i) v = with_byte(v, i, byte_##K_OPERAND(at + i)); \
    return v;                                                                   \
  }
FETCH(0, fetch_a, M)
FETCH(2, fetch_b, N)

void main() {
  read_sizes();
  const uvec2 corner = first_of_tile(group_id());
  const uint thread = gl_LocalInvocationID.x, column = thread % kUnits, row = thread / kUnits;
  const uint subgroup_m = gl_SubgroupID / (BN / WN) * WM, subgroup_n = gl_SubgroupID % (BN / WN) * WN;
  UNIT next_a[kLoadsA], next_b[kLoadsB];

  coopmat<int, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum[kDown * kAcross];
  [[unroll]] for (uint i = 0; i < kDown * kAcross; ++i)
    sum[i] = coopmat<int, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0);

  const uint steps = (K + BK - 1) / BK;
  // Step s loads stage s and multiplies stage s - 1.
  for (uint step = 0; step <= steps; ++step) {
    if (step < steps) {
      const uint k = step * BK + column * UNIT_BYTES;
      [[unroll]] for (uint i = 0; i < kLoadsA; ++i)
        next_a[i] = fetch_a(corner.x + row + i * kStep, k);
      [[unroll]] for (uint i = 0; i < kLoadsB; ++i)
        next_b[i] = fetch_b(corner.y + row + i * kStep, k);
    }
    if (step > 0) {
      const uint stage = (step - 1 & 1u) * kStage;
      [[unroll]] for (uint k = 0; k < BK / TK; ++k) {
        coopmat<int8_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> a[kDown];
        [[unroll]] for (uint i = 0; i < kDown; ++i)
          coopMatLoad(a[i], pool, stage + (subgroup_m + i * TM) * kPitch + k * TK / UNIT_BYTES,
                      kPitch, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0; j < kAcross; ++j) {
          coopmat<int8_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> b;
          coopMatLoad(b, pool,
                      stage + kTileA + (subgroup_n + j * TN) * kPitch + k * TK / UNIT_BYTES, kPitch,
                      gl_CooperativeMatrixLayoutColumnMajor);
          [[unroll]] for (uint i = 0; i < kDown; ++i)
            sum[i * kAcross + j] = coopMatMulAdd(a[i], b, sum[i * kAcross + j]);
        }
      }
    }
    if (step < steps) {
      const uint stage = (step & 1u) * kStage;
      [[unroll]] for (uint i = 0; i < kLoadsA; ++i)
        pool[stage + (row + i * kStep) * kPitch + column] = next_a[i];
      [[unroll]] for (uint i = 0; i < kLoadsB; ++i)
        pool[stage + kTileA + (row + i * kStep) * kPitch + column] = next_b[i];
    }
    barrier();
  }

  const uint stage = gl_SubgroupID * kStageC;
  [[unroll]] for (uint i = 0; i < kDown; ++i) {
    [[unroll]] for (uint j = 0; j < kAcross; ++j)
      coopMatStore(sum[i * kAcross + j], pool, stage + j * TN * 4 / UNIT_BYTES, kPitchC,
                   gl_CooperativeMatrixLayoutRowMajor);
    barrier();
    for (uint e = gl_SubgroupInvocationID; e < TM * WN / 4; e += gl_SubgroupSize) {
      uint r = e / (WN / 4), c = e % (WN / 4);
      finish(corner.x + subgroup_m + i * TM + r, corner.y + subgroup_n + c * 4,
             vec4(FOUR_INTS(stage + r * kPitchC, c)));
    }
    barrier();
  }
}
