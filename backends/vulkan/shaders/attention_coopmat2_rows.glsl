// Attention of f16 (or bf16: bfloat16.h) on cooperative matrices of a subgroup that can be reduced
// and converted where they are (VK_NV_cooperative_matrix2): a subgroup treats TM rows, whose scores
// and probabilities never leave its registers. All subgroups pass over the keys together, BK at a
// time; keys and values come through shared memory and are on their way in registers before that.
// PACKED: keys and values come straight from memory, where pack_keys_coopmat.comp has put them in the
// order of matrices; while a tile is multiplied, the next is touched, so that it lies in the cache.
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_vote : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "attention.glsl"
#include "packed.glsl"

// Sizes that a build for one tile knows: loops over matrices then unroll before any driver sees them.
#ifndef FIXED
layout(constant_id = 16) const uint DIM = 128;     // of q and k: a multiple of 2 TN; PACKED: of 8
layout(constant_id = 17) const uint VALUES = 128;  // of v: likewise
layout(constant_id = 22) const uint BK = 64;
layout(constant_id = 23) const uint SUBGROUP = 32;  // invocations
layout(constant_id = 24) const uint SUBGROUPS = 8;  // of a group
layout(constant_id = 25) const uint WM = 16;        // rows of a subgroup: TM
layout(constant_id = 26) const uint TM = 16;        // one cooperative matrix
layout(constant_id = 27) const uint TN = 16;
layout(constant_id = 28) const uint TK = 16;  // TN: probabilities become a factor as they are
#endif
layout(constant_id = 18) const bool CAUSAL = false;
layout(constant_id = 19) const bool HAS_LENGTHS = false;
layout(constant_id = 20) const bool HAS_MASK = false;
layout(constant_id = 21) const bool IN_PARTS = false;

OPERAND(0)  // q [B, N, H, D]
OPERAND(1)  // k [B, M, Hkv, D]; or packed [B, Hkv, keys / TN, D / TK, invocation, 8]
OPERAND(2)  // v [B, M, Hkv, E]; or packed [B, Hkv, keys / TK, E / TN, invocation, 8]
OPERAND(3)  // key_lengths [B]
OPERAND(4)  // mask
OPERAND(5)  // output [B, N, H, E], or [part, B, N, H, E] not yet divided by the sums
OPERAND(6)  // maximum and sum [part, B, N, H]

// PACKED: where matrices are wider than rows, zeros follow.
const uint kDeep = (DIM + TK - 1) / TK, kAcross = (VALUES + TN - 1) / TN, kKeys = BK / TN;
const uint kGroup = SUBGROUP * SUBGROUPS;

// Shared memory in units of 16 bytes: keys, then values; before and after, each subgroup's rows of
// q and of the output. Rows have one unit of padding: neighbouring rows lie in other banks.
const uint kUnitsK = DIM / 8, kUnitsV = VALUES / 8;
const uint kPitchK = kUnitsK + 1, kPitchV = kUnitsV + 1;
const uint kFirstV = BK * kPitchK, kStage = kFirstV + BK * kPitchV;
const uint kWideK = kDeep * TK / 8, kWideV = kAcross * TN / 8;
const uint kPitchOwn = (kWideK > kWideV ? kWideK : kWideV) + 1, kOwn = TM * kPitchOwn;
#ifdef PACKED
shared uvec4 pool[SUBGROUPS * kOwn];
#else
shared uvec4 pool[kStage > SUBGROUPS * kOwn ? kStage : SUBGROUPS * kOwn];

const uint kLoadsK = (BK * kUnitsK + kGroup - 1) / kGroup;
const uint kLoadsV = (BK * kUnitsV + kGroup - 1) / kGroup;
#endif

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB>
#define MATRIX_C coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>

const float kLog2E = 1.44269504;
const uint kElements = TM * TN / SUBGROUP;  // of a MATRIX_C, in an invocation
// Probabilities are of scores around a maximum that is looked for anew only where scores are beyond
// it by so many powers of two: f16 has probabilities up to 2^16.
const float kGrowth = 12;

// Elements are touched through functions, or by constant indices: with loops over a matrix's
// length(), the H100's driver told of local memory of the size of the sums.
float larger(const in float a, const in float b) { return max(a, b); }
float added(const in float a, const in float b) { return a + b; }
float larger_of(const in uint r, const in uint c, const in float a, const in float b) {
  return max(a, b);
}
float shrunk(const in uint r, const in uint c, const in float before, const in float most,
             const in float factor) {
  return exp2((before - most) * factor);
}
// Of hidden scores 0: `most` is finite, and so is what is taken from them.
float power(const in uint r, const in uint c, const in float s, const in float most,
            const in float factor) {
  return exp2(HAS_MASK ? (s - most) * factor : fma(s, factor, -(most * factor)));
}
// What bf16 holds, for conversions of matrices may cut off. Of numbers of at least 0; NaN may be lost.
float nearest_bf16(const in uint r, const in uint c, const in float v) {
  return uintBitsToFloat(floatBitsToUint(v) + 0x8000u & 0xffff0000u);
}
float inverse(const in uint r, const in uint c, const in float v) { return v == 0 ? 0.0 : 1.0 / v; }

float score_element(const in uint r, const in uint c, const in float s, const in uint batch,
                    const in uint head, const in uint first_row, const in uint key,
                    const in uint keys) {
  const Block block = Block(batch, head, 0, 0, 0, 0);
  const uint row = min(first_row + r, ROWS - 1);
  if (key + c >= visible_keys(row, keys, CAUSAL)) return kHidden;
  return HAS_MASK ? s * SCALE + load_4(mask_at(block, row, key + c)) : s;
}
float store_sums(const in uint r, const in uint c, const in float most, const in float sum,
                 const in uint batch, const in uint head, const in uint first_row,
                 const in uint first) {
  const Block block = Block(batch, head, 0, 0, 0, 0);
  if (c == 0 && first_row + r < ROWS)
    put_pair_6(first + query_row(block, first_row + r),
               floatBitsToUint(vec2(max(most * (HAS_MASK ? 1.0 : SCALE), -kMost), sum)));
  return most;
}

void main() {
  const uint thread = gl_SubgroupID * SUBGROUP + gl_SubgroupInvocationID;
  const Block block = block_of(group_id(), SUBGROUPS * TM, VALUES);
  const uint keys = HAS_LENGTHS ? uint(clamp(iload_3(block.batch), 0, int(KEYS))) : KEYS;
  const uint last = visible_keys(min(block.row + SUBGROUPS * TM, ROWS) - 1, keys, CAUSAL);
  const uint end = min(last, block.key + SPAN), present = min(keys, end);
  const uint own = gl_SubgroupID * kOwn, first_row = block.row + gl_SubgroupID * TM;
  const uint all_see = visible_keys(min(first_row, ROWS - 1), keys, CAUSAL);
  const float factor = (HAS_MASK ? 1.0 : SCALE) * kLog2E;
  // See power(): without a mask it is multiplied by the factor.
  const float least = HAS_MASK ? -kMost : -0.5 * kMost / max(factor, 1.0);

  MATRIX_A q[kDeep];
  for (uint i = gl_SubgroupInvocationID; i < TM * kWideK; i += SUBGROUP) {
    const uint r = i / kWideK, unit = i % kWideK;
    uvec4 v = uvec4(0);
    if (first_row + r < ROWS && unit < kUnitsK)
      v = quad_0(query_row(block, first_row + r) * kUnitsK + unit);
    pool[own + r * kPitchOwn + unit] = v;
  }
  subgroupBarrier();
  [[unroll]] for (uint k = 0; k < kDeep; ++k)
    coopMatLoad(q[k], pool, own + k * TK / 8, kPitchOwn, gl_CooperativeMatrixLayoutRowMajor);
  barrier();

  MATRIX_C result[kAcross];
  [[unroll]] for (uint j = 0; j < kAcross; ++j) result[j] = MATRIX_C(0.0);
  MATRIX_C most = MATRIX_C(least), sums = MATRIX_C(0.0);  // sums: of each row, over its elements

#ifdef PACKED
  // In units of 16 bytes: this head's keys and values, and what an invocation holds of the first.
  const uint first_tile = (block.batch * KEY_HEADS + block.key_head) * ((KEYS + BK - 1) / BK * kKeys);
  const uint head_k = first_tile * kDeep * SUBGROUP, head_v = first_tile * kAcross * SUBGROUP;
#define LOAD(M, K, FROM, BASE, AT)                                                        \
  MATRIX_FROM_QUAD(                                                                       \
      M, (SEGMENTED >> K & 1u) != 0u ? quad_##K(FROM + (AT)) : Quad(BASE + 16 * (AT)).v)
#define LOAD_K(M, J, K) LOAD(M, 1, from_k, tile_k, ((J) * kDeep + (K)) * SUBGROUP)
#define LOAD_V(M, K, J) LOAD(M, 2, from_v, tile_v, ((K) * kAcross + (J)) * SUBGROUP)
  // Sectors of 32 bytes of a tile, dealt to all invocations.
  const uint kSectorsK = BK * kWideK / 2, kSectorsV = BK * kWideV / 2;
  const uint kTouchesK = (kSectorsK + kGroup - 1) / kGroup, kTouchesV = (kSectorsV + kGroup - 1) / kGroup;
  uint touched = 0;
#else
  const uint step_k = KEY_HEADS * kUnitsK, step_v = KEY_HEADS * kUnitsV;
  const uint base_k = key_row(block, 0) * kUnitsK, base_v = key_row(block, 0) * kUnitsV;
  uvec4 next_k[kLoadsK], next_v[kLoadsV];
// Keys that are not there become zeros where they are kept: looking at them would wait for the load.
#define FETCH(NEXT, LOADS, UNITS, QUAD, BASE, STEP, KEY)                        \
  [[unroll]] for (uint i = 0; i < LOADS; ++i) {                                 \
    const uint e = thread + i * kGroup, r = e / UNITS, at = (KEY) + r;          \
    NEXT[i] = QUAD(at < present && r < BK ? BASE + at * STEP + e % UNITS : 0);  \
  }
#define KEEP(NEXT, LOADS, UNITS, FIRST, PITCH, KEY)                             \
  [[unroll]] for (uint i = 0; i < LOADS; ++i) {                                 \
    const uint e = thread + i * kGroup, r = e / UNITS;                          \
    if (BK * UNITS % kGroup == 0 || e < BK * UNITS)                             \
      pool[FIRST + r * PITCH + e % UNITS] =                                     \
          (KEY) + r < present ? NEXT[i] : uvec4(0);                             \
  }
  if (block.key < end) {
    FETCH(next_k, kLoadsK, kUnitsK, quad_1, base_k, step_k, block.key)
    KEEP(next_k, kLoadsK, kUnitsK, 0, kPitchK, block.key)
  }
#define LOAD_K(M, J, K)                                                                   \
  coopMatLoad(M, pool, (J) * TN * kPitchK + (K) * TK / 8, kPitchK,                        \
              gl_CooperativeMatrixLayoutColumnMajor);
#define LOAD_V(M, K, J)                                                                   \
  coopMatLoad(M, pool, kFirstV + (K) * TK * kPitchV + (J) * TN / 8, kPitchV,              \
              gl_CooperativeMatrixLayoutRowMajor);
#endif
  barrier();
  for (uint key = block.key; key < end; key += BK) {
#ifdef PACKED
    const uint from_k = head_k + key / TN * (kDeep * SUBGROUP) + gl_SubgroupInvocationID;
    const uint from_v = head_v + key / TK * (kAcross * SUBGROUP) + gl_SubgroupInvocationID;
    const uint64_t tile_k = push.address[1] + 16 * uint64_t(from_k);
    const uint64_t tile_v = push.address[2] + 16 * uint64_t(from_v);
    const uint next = min(key + BK, (end - 1) / BK * BK);
    uint words_k[kTouchesK], words_v[kTouchesV];
    [[unroll]] for (uint i = 0; i < kTouchesK; ++i)
      words_k[i] = word_1(4 * (head_k + next / TN * (kDeep * SUBGROUP)) +
                          8 * min(thread + i * kGroup, kSectorsK - 1));
    [[unroll]] for (uint i = 0; i < kTouchesV; ++i)
      words_v[i] = word_2(4 * (head_v + next / TK * (kAcross * SUBGROUP)) +
                          8 * min(thread + i * kGroup, kSectorsV - 1));
#else
    FETCH(next_v, kLoadsV, kUnitsV, quad_2, base_v, step_v, key)
#endif

    MATRIX_C s[kKeys];
    [[unroll]] for (uint j = 0; j < kKeys; ++j) s[j] = MATRIX_C(0.0);
    [[unroll]] for (uint k = 0; k < kDeep; ++k) {
      [[unroll]] for (uint j = 0; j < kKeys; ++j) {
        MATRIX_B b;
        LOAD_K(b, j, k)
        s[j] = coopMatMulAdd(q[k], b, s[j]);
      }
    }
#ifndef PACKED
    KEEP(next_v, kLoadsV, kUnitsV, kFirstV, kPitchV, key)
    barrier();  // the values are there, and the keys have been read
    FETCH(next_k, kLoadsK, kUnitsK, quad_1, base_k, step_k, key + BK)
#endif

    const bool some_hidden = HAS_MASK || key + BK > all_see;
    if (some_hidden) {
      [[unroll]] for (uint j = 0; j < kKeys; ++j)
        coopMatPerElementNV(s[j], s[j], score_element, block.batch, block.key_head, first_row,
                            key + j * TN, keys);
    }
    MATRIX_C now = s[0];
    [[unroll]] for (uint j = 1; j < kKeys; ++j) coopMatPerElementNV(now, now, larger_of, s[j]);
    bool grown = false;
    [[unroll]] for (uint i = 0; i < kElements; ++i)
      grown = grown || (now[i] - most[i]) * factor > kGrowth;
    if (subgroupAny(grown)) {
      MATRIX_C shrink;
      coopMatReduceNV(now, now, gl_CooperativeMatrixReduceRowNV, larger);
      coopMatPerElementNV(now, now, larger_of, most);
      coopMatPerElementNV(shrink, most, shrunk, now, factor);
      most = now;
      sums *= shrink;
      [[unroll]] for (uint j = 0; j < kAcross; ++j) result[j] *= shrink;
    }
    MATRIX_A p[kKeys];
    [[unroll]] for (uint j = 0; j < kKeys; ++j) {
      coopMatPerElementNV(s[j], s[j], power, most, factor);
      sums += s[j];
      if (DTYPE_0 == BF16) coopMatPerElementNV(s[j], s[j], nearest_bf16);
      p[j] = MATRIX_A(s[j]);
    }
    [[unroll]] for (uint k = 0; k < kKeys; ++k) {
      [[unroll]] for (uint j = 0; j < kAcross; ++j) {
        MATRIX_B b;
        LOAD_V(b, k, j)
        result[j] = coopMatMulAdd(p[k], b, result[j]);
      }
    }
#ifdef PACKED
    [[unroll]] for (uint i = 0; i < kTouchesK; ++i) touched ^= words_k[i];
    [[unroll]] for (uint i = 0; i < kTouchesV; ++i) touched ^= words_v[i];
  }
  if (touched == 0x9e3779b9u && ROWS == 0) put_word_5(0, touched);  // never: so that it is computed
#else
    KEEP(next_k, kLoadsK, kUnitsK, 0, kPitchK, key + BK)
    barrier();  // the next keys are there, and the values have been read
  }
#endif

  coopMatReduceNV(sums, sums, gl_CooperativeMatrixReduceRowNV, added);
  if (IN_PARTS) {
    coopMatPerElementNV(most, most, store_sums, sums, block.batch, block.key_head, first_row,
                        block.part * ALL_ROWS);
  } else {
    coopMatPerElementNV(sums, sums, inverse);
    [[unroll]] for (uint j = 0; j < kAcross; ++j) result[j] *= sums;
  }
  // Half as many columns of f32 at a time as a row of q or v has, in whole matrices. Not a loop: its
  // index into `result` would have to be unrolled together with the loop within.
  const uint kAtOnce = (kPitchOwn - 1) * 4 / TN, kQuads = kAtOnce * TN / 4;
#define LEAVE(FIRST)                                                                               \
  if (FIRST < kAcross) {                                                                           \
    subgroupBarrier();                                                                             \
    [[unroll]] for (uint j = 0; j < min(kAtOnce, kAcross - FIRST); ++j)                            \
      coopMatStore(result[min(FIRST + j, kAcross - 1)], pool, own + j * TN / 4, kPitchOwn,         \
                   gl_CooperativeMatrixLayoutRowMajor);                                            \
    subgroupBarrier();                                                                             \
    for (uint i = gl_SubgroupInvocationID; i < TM * kQuads; i += SUBGROUP) {                       \
      const uint r = i / kQuads, c = i % kQuads, column = FIRST * TN + c * 4;                      \
      if (first_row + r >= ROWS || column >= VALUES) continue;                                     \
      const uint to = block.part * ALL_ROWS + query_row(block, first_row + r);                     \
      store4_5(to * VALUES + column, uintBitsToFloat(pool[own + r * kPitchOwn + c]));              \
    }                                                                                              \
  }
  LEAVE(0) LEAVE(kAtOnce) LEAVE(2 * kAtOnce)
}
