// Products of i8 with a weight that pack_coopmat_i8.comp has put in order: matrices of b come from memory
// straight into registers, and only a goes through shared memory, in two stages of STAGE_STEPS steps of TK.
// As matmul_coopmat_packed.comp, but for taller tiles of a subgroup, since setting a matrix of i8 costs.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int32 : require
#include "quantized.glsl"
#include "packed_i8.glsl"

#ifndef FIXED
layout(constant_id = 20) const bool WIDE = false;  // K is a multiple of UNIT_BYTES
layout(constant_id = 21) const uint WM = 64;       // tile of a subgroup
layout(constant_id = 22) const uint WN = 64;       // columns packed together, too
layout(constant_id = 23) const uint TM = 16;       // one cooperative matrix
layout(constant_id = 24) const uint TN = 16;
layout(constant_id = 25) const uint TK = 32;
layout(constant_id = 26) const uint GROUP = 128;  // invocations
layout(constant_id = 27) const uint SUBGROUP = 32;
#endif
layout(constant_id = 28) const bool WIDE_C = false;  // eight neighbours of c are one store
layout(constant_id = 29) const bool ODD_STAGES = false;

#define STAGE_STEPS 4  // b0 to b3, and kStageSteps in quantized_packed.cc
#ifndef AHEAD
#define AHEAD 1  // steps that b comes before it is multiplied; kAhead of quantized_packed.cc at most
#endif
#define STEPS param(5)       // of TK rows in a packed column
#define LAST_BLOCK param(6)  // of WN packed columns

const uint kDown = WM / TM, kAcross = WN / TN, kDeep = STAGE_STEPS * TK;  // kDeep: bytes of a stage
const uint kUnits = kDeep / UNIT_BYTES, kPitch = kUnits + 1;  // padded against bank conflicts
const uint kTile = BM * kPitch, kStep = GROUP / kUnits, kLoads = BM / kStep;
// Sums leave through shared memory, TM × WN a subgroup at a time.
const uint kPitchC = WN * 4 / UNIT_BYTES + 1, kChunksC = WN / 8;
const uint kOwnC = TM * kPitchC, kAllC = GROUP / SUBGROUP * kOwnC;
shared UNIT pool[2 * kTile > kAllC ? 2 * kTile : kAllC];

#define MATRIX_B coopmat<int8_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB>

// A unit of row `row` from column k on. Rows and columns beyond the last may be anything: nobody stores
// what those give, and for these b is zero.
UNIT fetch_a(uint row, uint k) {
  row = min(row, M - 1);
  if (WIDE) return READ_UNIT_0(row * (K / UNIT_BYTES) + min(k, K - UNIT_BYTES) / UNIT_BYTES);
  UNIT v = UNIT(0);
  for (uint i = 0; i < UNIT_BYTES && k + i < K; ++i) v = with_byte(v, i, byte_0(row * K + k + i));
  return v;
}

// Eight neighbours of row m of c from n on, a multiple of eight; factor, bias: of these columns.
void store8_c(uint m, uint n, ivec4 low, ivec4 high, float row, float factor[8], float bias[8]) {
  if (m >= M || n >= N) return;
  const int sums[8] = int[8](low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w);
  float v[8];
  [[unroll]] for (uint i = 0; i < 8; ++i) v[i] = float(sums[i]) * row * factor[i] + bias[i];
  const vec4 a = vec4(v[0], v[1], v[2], v[3]), b = vec4(v[4], v[5], v[6], v[7]);
  const uint at = m * N + n;
  if (!WIDE_C) {
    [[unroll]] for (uint i = 0; i < 8; ++i)
      if (n + i < N) store_5(at + i, v[i]);
  } else if (DTYPE_5 == F32) {
    store4_5(at, a);
    store4_5(at + 4, b);
  } else if (DTYPE_5 == F16) {
    put_quad_5(at >> 3, uvec4(pack_f16(a), pack_f16(b)));
  } else {
    put_quad_5(at >> 3, uvec4(pack_bf16(a), pack_bf16(b)));
  }
}

// A packed weight is one piece of memory, but where it comes by parts it lies in the arena.
const bool kPieces = (SEGMENTED >> 2 & 1u) != 0u;

void main() {
  read_sizes();
  const uint thread = gl_SubgroupID * SUBGROUP + gl_SubgroupInvocationID;
  const uint subgroup_m = gl_SubgroupID / (BN / WN) * WM, subgroup_n = gl_SubgroupID % (BN / WN) * WN;
  const uvec2 corner = first_of_tile(group_id());
  const uint a_column = thread % kUnits, a_row = thread / kUnits;
  const uint n0 = corner.y + subgroup_n;
  // Columns beyond the last are the last: nobody stores what they give.
  uint64_t b_at = UNIT_BYTES * uint64_t(min(n0 / WN, LAST_BLOCK) * STEPS * kAcross * SUBGROUP +
                                        gl_SubgroupInvocationID);
  if (!kPieces) b_at += push.address[2];
  uint column = a_column * UNIT_BYTES;
  UNIT first_a[kLoads], next_a[kLoads];
  UNIT b0[kAcross], b1[kAcross], b2[kAcross], b3[kAcross];

  coopmat<int, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum[kDown * kAcross];
  [[unroll]] for (uint i = 0; i < kDown * kAcross; ++i)
    sum[i] = coopmat<int, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0);

#define FETCH_A(TO)                                                                           \
  {                                                                                           \
    [[unroll]] for (uint i = 0; i < kLoads; ++i)                                              \
      TO[i] = fetch_a(corner.x + a_row + i * kStep, column);                                  \
    column += kDeep;                                                                          \
  }
#define KEEP_A(FROM, STAGE)                                                                   \
  [[unroll]] for (uint i = 0; i < kLoads; ++i)                                                \
    pool[STAGE * kTile + (a_row + i * kStep) * kPitch + a_column] = FROM[i];
#define FETCH_B(TO)                                                                           \
  {                                                                                           \
    [[unroll]] for (uint j = 0; j < kAcross; ++j) {                                           \
      const uint64_t unit_at = b_at + UNIT_BYTES * SUBGROUP * j;                              \
      TO[j] = UNIT_AT(kPieces ? segment_address(push.address[2], unit_at) : unit_at);         \
    }                                                                                         \
    b_at += UNIT_BYTES * SUBGROUP * kAcross;                                                  \
  }
#define MULTIPLY(STAGE, STEP, B)                                                              \
  {                                                                                           \
    MATRIX_B b[kAcross];                                                                      \
    [[unroll]] for (uint j = 0; j < kAcross; ++j)                                             \
      MATRIX_FROM_UNIT(b[j], B[j])                                                            \
    [[unroll]] for (uint i = 0; i < kDown; ++i) {                                             \
      coopmat<int8_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> a;                             \
      coopMatLoad(a, pool,                                                                    \
                  STAGE * kTile + (subgroup_m + i * TM) * kPitch + STEP * TK / UNIT_BYTES,    \
                  kPitch, gl_CooperativeMatrixLayoutRowMajor);                                \
      [[unroll]] for (uint j = 0; j < kAcross; ++j)                                           \
        sum[i * kAcross + j] = coopMatMulAdd(a, b[j], sum[i * kAcross + j]);                  \
    }                                                                                         \
  }
#if AHEAD == 4
#define FETCH_FIRST FETCH_B(b0) FETCH_B(b1) FETCH_B(b2) FETCH_B(b3)
#define MULTIPLY_STAGE(S)                                                                     \
  MULTIPLY(S, 0, b0) FETCH_B(b0) MULTIPLY(S, 1, b1) FETCH_B(b1)                               \
  MULTIPLY(S, 2, b2) FETCH_B(b2) MULTIPLY(S, 3, b3) FETCH_B(b3)
#elif AHEAD == 2
#define FETCH_FIRST FETCH_B(b0) FETCH_B(b1)
#define MULTIPLY_STAGE(S)                                                                     \
  FETCH_B(b2) MULTIPLY(S, 0, b0) FETCH_B(b3) MULTIPLY(S, 1, b1)                               \
  FETCH_B(b0) MULTIPLY(S, 2, b2) FETCH_B(b1) MULTIPLY(S, 3, b3)
#elif AHEAD == 1
#define FETCH_FIRST FETCH_B(b0)
#define MULTIPLY_STAGE(S)                                                                     \
  FETCH_B(b1) MULTIPLY(S, 0, b0) FETCH_B(b0) MULTIPLY(S, 1, b1)                               \
  FETCH_B(b1) MULTIPLY(S, 2, b0) FETCH_B(b0) MULTIPLY(S, 3, b1)
#else
#error AHEAD is 1, 2 or 4
#endif

  // Of an odd number of stages one comes before the pairs.
  const uint kFirst = ODD_STAGES ? 1 : 0;
  FETCH_A(first_a) FETCH_A(next_a) FETCH_FIRST KEEP_A(first_a, kFirst)
  barrier();
  if (ODD_STAGES) {
    KEEP_A(next_a, 0) FETCH_A(next_a) MULTIPLY_STAGE(1)
    barrier();
  }
  for (uint k = kFirst * kDeep; k < K; k += 2 * kDeep) {
    KEEP_A(next_a, 1) FETCH_A(next_a) MULTIPLY_STAGE(0)
    barrier();
    KEEP_A(next_a, 0) FETCH_A(next_a) MULTIPLY_STAGE(1)
    barrier();
  }

  const uint own = gl_SubgroupID * kOwnC;
  // Chunks of eight columns, dealt to the subgroup. All factors come at once, as the driver moves no load
  // across a barrier.
  const uint kRounds = TM * kChunksC / SUBGROUP, kSets = SUBGROUP % kChunksC == 0 ? 1 : kRounds;
#define CHUNK(ROUND) (gl_SubgroupInvocationID + (ROUND) * SUBGROUP)
  float row[kDown * kRounds], factor[kSets][8], bias[kSets][8];
  [[unroll]] for (uint i = 0; i < kDown * kRounds; ++i) {
    const uint r = i / kRounds * TM + CHUNK(i % kRounds) / kChunksC;
    row[i] = load_1(min(corner.x + subgroup_m + r, M - 1));
  }
  [[unroll]] for (uint i = 0; i < kSets; ++i) {
    [[unroll]] for (uint e = 0; e < 8; ++e) {
      const uint n = min(n0 + CHUNK(i) % kChunksC * 8 + e, N - 1);
      factor[i][e] = load_3(n);
      bias[i][e] = HAS_BIAS ? load_4(n) : 0.0;
    }
  }
  // One row of matrices after the other. Not a loop: its index into `sum` would have to be unrolled
  // together with the loop within.
#define LEAVE(I)                                                                              \
  if (I < kDown) {                                                                            \
    [[unroll]] for (uint j = 0; j < kAcross; ++j)                                             \
      coopMatStore(sum[min(I, kDown - 1) * kAcross + j], pool,                                \
                   own + j * TN * 4 / UNIT_BYTES, kPitchC, gl_CooperativeMatrixLayoutRowMajor); \
    subgroupBarrier();                                                                        \
    [[unroll]] for (uint i = 0; i < kRounds; ++i) {                                           \
      const uint r = CHUNK(i) / kChunksC, c = CHUNK(i) % kChunksC * 8, from = own + r * kPitchC; \
      store8_c(corner.x + subgroup_m + I * TM + r, n0 + c, FOUR_INTS(from, c / 4),            \
               FOUR_INTS(from, c / 4 + 1), row[min(I, kDown - 1) * kRounds + i],              \
               factor[min(i, kSets - 1)], bias[min(i, kSets - 1)]);                           \
    }                                                                                         \
    subgroupBarrier();                                                                        \
  }
  LEAVE(0) LEAVE(1) LEAVE(2) LEAVE(3) LEAVE(4) LEAVE(5) LEAVE(6) LEAVE(7)
}
