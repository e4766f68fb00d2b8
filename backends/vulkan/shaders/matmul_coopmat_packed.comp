#version 450
// Products with a weight that pack_coopmat.comp has put in order: matrices of b come from memory
// straight into registers, and only a goes through shared memory, in two stages.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "contraction_coopmat.glsl"
#include "packed.glsl"

#ifndef FIXED
layout(constant_id = 29) const uint WM = 64;  // tile of a subgroup; columns packed together
layout(constant_id = 30) const uint WN = 64;
layout(constant_id = 31) const uint TM = 16;  // one cooperative matrix; BK = 4 TK
layout(constant_id = 32) const uint TN = 16;
layout(constant_id = 33) const uint TK = 16;
layout(constant_id = 34) const uint SUBGROUP = 32;  // invocations
#endif
layout(constant_id = 35) const bool WIDE_C = false;  // eight neighbours of c are one store

#define STEPS param(57)       // of TK rows in a packed column
#define LAST_BLOCK param(58)  // of WN packed columns

const uint kDown = WM / TM, kAcross = WN / TN;
// a comes one stage before it is multiplied and b one step of TK; where the sums leave registers free
// (EARLY), two stages and four steps.
#ifdef EARLY
const uint kHalves = 2;
#else
const uint kHalves = 1;
#endif
// Sums leave through shared memory, TM × WN a subgroup at a time, as f32.
const uint kPitchC = WN / 4 + 1, kChunksC = WN / 8;
const uint kOwnC = TM * kPitchC, kAllC = GROUP / SUBGROUP * kOwnC;
shared uvec4 pool[2 * kTileA > kAllC ? 2 * kTileA : kAllC];
shared uvec4 rows[BM];

#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB>

// Eight columns of row m of c from n on; bias: of these columns.
void store8_c(Product p, uint m, uint n, vec4 low, vec4 high, float bias[8]) {
  m = row_of_c(p, m);
  if (m == kNowhere || n >= N) return;
  float v[8] = float[8](low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w);
  [[unroll]] for (uint i = 0; i < 8; ++i) v[i] = activate(ACTIVATION, v[i] + bias[i]);
  const uint at = p.c + m * LDC + n;
  low = vec4(v[0], v[1], v[2], v[3]), high = vec4(v[4], v[5], v[6], v[7]);
  if (!WIDE_C) {
    [[unroll]] for (uint i = 0; i < 8; ++i)
      if (n + i < N) store_2(at + i, v[i]);
  } else if (DTYPE_2 == F32) {
    store4_2(at, low);
    store4_2(at + 4, high);
  } else if (DTYPE_2 == F16) {
    put_quad_2(at >> 3, uvec4(pack_f16(low), pack_f16(high)));
  } else {
    put_quad_2(at >> 3, uvec4(pack_bf16(low), pack_bf16(high)));
  }
}

// Weights are one piece of memory, those expanded into the arena need not be.
const bool kPieces = (SEGMENTED >> 1 & 1u) != 0u;

void main() {
  read_sizes();
  Product p = product_of(group_id());
  const uint thread = gl_SubgroupID * SUBGROUP + gl_SubgroupInvocationID;
  const uint subgroup_m = gl_SubgroupID / (BN / WN) * WM, subgroup_n = gl_SubgroupID % (BN / WN) * WN;
  if (!(WIDE_A && MODE == MATMUL)) {
    for (uint i = thread; i < BM; i += GROUP) rows[i] = row_of(p, p.tile_m * BM + i);
    barrier();
  }
  const uint a_column = thread % kAcrossA, a_row = thread / kAcrossA;
  const uint n0 = p.tile_n * BN + subgroup_n;
  // Columns beyond the last are the last: nobody stores what they give.
  uint64_t b_at = 16 * uint64_t(min(n0 / WN, LAST_BLOCK) * STEPS * kAcross * SUBGROUP +
                                gl_SubgroupInvocationID);
  if (!kPieces) b_at += push.address[1];
  Column column = column_at(a_column * 8);
  uvec4 next_a[kHalves * kLoadsA];
  bool inside_a[kHalves * kLoadsA];
  uvec4 b0[kAcross], b1[kAcross], b2[kAcross], b3[kAcross];

  coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum[kDown * kAcross];
  [[unroll]] for (uint i = 0; i < kDown * kAcross; ++i)
    sum[i] = coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);

#define A_ROW(R)                                                                              \
  (WIDE_A && MODE == MATMUL ? row_of(p, min(p.tile_m * BM + (R), M - 1)) : rows[R])
#define FETCH_A(HALF)                                                                         \
  {                                                                                           \
    [[unroll]] for (uint i = 0; i < kLoadsA; ++i)                                             \
      next_a[(HALF) * kLoadsA + i] = fetch8_a(p, A_ROW(a_row + i * kStepA), column,           \
                                              inside_a[(HALF) * kLoadsA + i]);                \
    column = advance(column);                                                                 \
  }
#define KEEP_A(STAGE, HALF)                                                                   \
  [[unroll]] for (uint i = 0; i < kLoadsA; ++i)                                               \
    pool[STAGE * kTileA + (a_row + i * kStepA) * kPitchA + a_column] =                        \
        inside_a[(HALF) * kLoadsA + i] ? next_a[(HALF) * kLoadsA + i] : uvec4(0);
#define FETCH_B(TO)                                                                           \
  {                                                                                           \
    [[unroll]] for (uint j = 0; j < kAcross; ++j) {                                           \
      const uint64_t quad_at = b_at + 16 * SUBGROUP * j;                                      \
      TO[j] = Quad(kPieces ? segment_address(push.address[1], quad_at) : quad_at).v;          \
    }                                                                                         \
    b_at += 16 * SUBGROUP * kAcross;                                                          \
  }
#define MULTIPLY(STAGE, STEP, B)                                                              \
  {                                                                                           \
    coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> a[kDown];                     \
    [[unroll]] for (uint i = 0; i < kDown; ++i)                                               \
      coopMatLoad(a[i], pool,                                                                 \
                  STAGE * kTileA + (subgroup_m + i * TM) * kPitchA + STEP * TK / 8, kPitchA,  \
                  gl_CooperativeMatrixLayoutRowMajor);                                        \
    [[unroll]] for (uint j = 0; j < kAcross; ++j) {                                           \
      MATRIX_B b;                                                                             \
      MATRIX_FROM_QUAD(b, B[j])                                                               \
      [[unroll]] for (uint i = 0; i < kDown; ++i)                                             \
        sum[i * kAcross + j] = coopMatMulAdd(a[i], b, sum[i * kAcross + j]);                  \
    }                                                                                         \
  }
#ifdef EARLY
#define FETCH_FIRST FETCH_B(b0) FETCH_B(b1) FETCH_B(b2) FETCH_B(b3)
#define STAGE(S)                                                                              \
  MULTIPLY(S, 0, b0) FETCH_B(b0) MULTIPLY(S, 1, b1) FETCH_B(b1)                               \
  MULTIPLY(S, 2, b2) FETCH_B(b2) MULTIPLY(S, 3, b3) FETCH_B(b3)
#else
#define FETCH_FIRST FETCH_B(b0)
#define STAGE(S)                                                                              \
  FETCH_B(b1) MULTIPLY(S, 0, b0) FETCH_B(b0) MULTIPLY(S, 1, b1)                               \
  FETCH_B(b1) MULTIPLY(S, 2, b0) FETCH_B(b0) MULTIPLY(S, 3, b1)
#endif

  FETCH_A(0) KEEP_A(0, 0) FETCH_A(0) FETCH_FIRST
#ifdef EARLY
  FETCH_A(1)
#endif
  barrier();
  for (uint k = 0; k < K; k += 2 * BK) {
    KEEP_A(1, 0) FETCH_A(0) STAGE(0)
    barrier();
    KEEP_A(0, kHalves - 1) FETCH_A(kHalves - 1) STAGE(1)
    barrier();
  }

  const uint own = gl_SubgroupID * kOwnC;
  const uint c_row = gl_SubgroupInvocationID / kChunksC;
  const uint c_column = gl_SubgroupInvocationID % kChunksC * 8;
  float bias[8];
  [[unroll]] for (uint i = 0; i < 8; ++i)
    bias[i] = HAS_BIAS ? load_3(p.bias + min(n0 + c_column + i, N - 1)) : 0.0;
  // One row of matrices after the other. Not a loop: its index into `sum` would have to be unrolled
  // together with the loop within.
#define LEAVE(I)                                                                              \
  if (I < kDown) {                                                                            \
    [[unroll]] for (uint j = 0; j < kAcross; ++j)                                             \
      coopMatStore(sum[min(I, kDown - 1) * kAcross + j], pool, own + j * TN / 4, kPitchC,     \
                   gl_CooperativeMatrixLayoutRowMajor);                                       \
    subgroupBarrier();                                                                        \
    [[unroll]] for (uint i = 0; i < TM * kChunksC / SUBGROUP; ++i) {                          \
      const uint r = c_row + i * (SUBGROUP / kChunksC), from = own + r * kPitchC + c_column / 4; \
      store8_c(p, p.tile_m * BM + subgroup_m + I * TM + r, n0 + c_column,                     \
               uintBitsToFloat(pool[from]), uintBitsToFloat(pool[from + 1]), bias);           \
    }                                                                                         \
    subgroupBarrier();                                                                        \
  }
  LEAVE(0) LEAVE(1) LEAVE(2) LEAVE(3)
}
