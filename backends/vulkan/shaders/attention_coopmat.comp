#version 450
// Attention of f16 (or bf16: bfloat16.h) on cooperative matrices with f32 sums: a subgroup treats WM rows, all subgroups
// pass over the keys together, BK at a time. Scores go to shared memory, where each row belongs to
// known lanes, and come back as probabilities in f16; a row's maximum and sum stay f32.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "attention.glsl"

layout(constant_id = 16) const uint DIM = 128;     // of q and k: a multiple of 8
layout(constant_id = 17) const uint VALUES = 128;  // of v: a multiple of 8
layout(constant_id = 18) const bool CAUSAL = false;
layout(constant_id = 19) const bool HAS_LENGTHS = false;
layout(constant_id = 20) const bool HAS_MASK = false;
layout(constant_id = 21) const bool IN_PARTS = false;
layout(constant_id = 22) const uint BK = 32;
layout(constant_id = 23) const uint SUBGROUP = 32;   // invocations
layout(constant_id = 24) const uint SUBGROUPS = 8;   // of a group
layout(constant_id = 25) const uint WM = 16;         // rows of a subgroup
layout(constant_id = 26) const uint TM = 16;         // one cooperative matrix
layout(constant_id = 27) const uint TN = 16;
layout(constant_id = 28) const uint TK = 16;

OPERAND(0)  // q [B, N, H, D]
OPERAND(1)  // k [B, M, Hkv, D]
OPERAND(2)  // v [B, M, Hkv, E]
OPERAND(3)  // key_lengths [B]
OPERAND(4)  // mask
OPERAND(5)  // output [B, N, H, E], or [part, B, N, H, E] not yet divided by the sums
OPERAND(6)  // maximum and sum [part, B, N, H]

// Matrices down a subgroup's rows, along q and k, across v, and along and across the keys.
const uint kDown = WM / TM, kDeep = (DIM + TK - 1) / TK, kAcross = (VALUES + TN - 1) / TN;
const uint kKeysDeep = BK / TK, kKeysAcross = BK / TN;
const uint kGroup = SUBGROUP * SUBGROUPS;

// Shared memory in units of 16 bytes: keys, values, then each subgroup's scores. Rows have one unit
// of padding: neighbouring rows lie in other banks.
const uint kUnitsK = kDeep * TK / 8, kUnitsV = kAcross * TN / 8;
const uint kPitchK = kUnitsK + 1, kPitchV = kUnitsV + 1, kPitchS = BK / 4 + 1;
const uint kFirstV = BK * kPitchK, kFirstS = kFirstV + BK * kPitchV;
shared uvec4 pool[kFirstS + SUBGROUPS * WM * kPitchS];

// Where a row of scores was, its probabilities come first and then TN times one factor.
const uint kFactor = BK / 8;

// How many rows an invocation treats, how many invocations share a row, and how many vec4 of a row's
// scores each takes.
const uint kEach = WM > SUBGROUP ? WM / SUBGROUP : 1;
const uint kSharers = WM > SUBGROUP ? 1 : SUBGROUP / WM, kOwn = BK / kSharers / 4;

const uint kLoadsK = (BK * kUnitsK + kGroup - 1) / kGroup;
const uint kLoadsV = (BK * kUnitsV + kGroup - 1) / kGroup;

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB>
#define MATRIX_C coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>

// Of probabilities, for which it does not matter how a driver rounds.
uvec2 pack_half(vec4 v) {
  if (DTYPE_0 == BF16) return pack_bf16(v);
  return uvec2(packHalf2x16(v.xy), packHalf2x16(v.zw));
}

float share_max(float v) {
  for (uint step = WM; step < SUBGROUP; step *= 2) v = max(v, subgroupShuffleXor(v, step));
  return v;
}
float share_sum(float v) {
  for (uint step = WM; step < SUBGROUP; step *= 2) v += subgroupShuffleXor(v, step);
  return v;
}

// Beside the probabilities of each row, its factor.
void put_factors(uint own, uint own_row, uint part, float factors[kEach]) {
  [[unroll]] for (uint e = 0; e < kEach; ++e) {
    for (uint i = part; i < TN / 4; i += kSharers)
      pool[own + (own_row + e * SUBGROUP) * kPitchS + kFactor + i] =
          uvec4(floatBitsToUint(factors[e]));
  }
}

void main() {
  const uint thread = gl_SubgroupID * SUBGROUP + gl_SubgroupInvocationID;
  const Block block = block_of(group_id(), SUBGROUPS * WM, kAcross * TN);
  const uint keys = HAS_LENGTHS ? uint(clamp(iload_3(block.batch), 0, int(KEYS))) : KEYS;
  const uint last = visible_keys(min(block.row + SUBGROUPS * WM, ROWS) - 1, keys, CAUSAL);
  const uint end = min(last, block.key + SPAN);

  // This invocation's first row (the next is SUBGROUP further) and its part of a row's scores.
  const uint part = gl_SubgroupInvocationID / WM, own_row = gl_SubgroupInvocationID % WM;
  const uint own = kFirstS + gl_SubgroupID * WM * kPitchS;
  const uint first_row = block.row + gl_SubgroupID * WM;
  const float scale = SCALE;

  MATRIX_A q[kDown * kDeep];
  const uint kWide = BK / 4;  // units of q that fit a row of scores
  [[unroll]] for (uint first = 0; first < kUnitsK; first += kWide) {
    for (uint i = gl_SubgroupInvocationID; i < WM * kWide; i += SUBGROUP) {
      uint r = i / kWide, unit = first + i % kWide;
      uvec4 v = uvec4(0);
      if (first_row + r < ROWS && unit < DIM / 8)
        v = quad_0(query_row(block, first_row + r) * (DIM / 8) + unit);
      pool[own + r * kPitchS + i % kWide] = v;
    }
    subgroupBarrier();
    [[unroll]] for (uint i = 0; i < kDown; ++i) {
      [[unroll]] for (uint k = first * 8 / TK; k < min((first + kWide) * 8 / TK, kDeep); ++k)
        coopMatLoad(q[i * kDeep + k], pool, own + i * TM * kPitchS + k * TK / 8 - first, kPitchS,
                    gl_CooperativeMatrixLayoutRowMajor);
    }
    subgroupBarrier();
  }

  MATRIX_C sums[kDown * kAcross];
  [[unroll]] for (uint i = 0; i < kDown * kAcross; ++i) sums[i] = MATRIX_C(0.0);
  float most[kEach], sum[kEach], shrink[kEach];
  [[unroll]] for (uint e = 0; e < kEach; ++e) {
    most[e] = -kMost;
    sum[e] = 0;
  }

  uvec4 next_k[kLoadsK], next_v[kLoadsV];
  for (uint key = block.key, staged = key; key < end;) {
    // What was loaded while the last keys were treated moves to shared memory; the first keys pass
    // without that.
    const bool first = staged == key;
    [[unroll]] for (uint i = 0; i < kLoadsK; ++i) {
      uint e = thread + i * kGroup, r = e / kUnitsK, unit = e % kUnitsK;
      if (!first && e < BK * kUnitsK) pool[r * kPitchK + unit] = next_k[i];
      next_k[i] = uvec4(0);
      if (staged + r < min(keys, end) && unit < DIM / 8 && r < BK)
        next_k[i] = quad_1(key_row(block, staged + r) * (DIM / 8) + unit);
    }
    [[unroll]] for (uint i = 0; i < kLoadsV; ++i) {
      uint e = thread + i * kGroup, r = e / kUnitsV, unit = e % kUnitsV;
      if (!first && e < BK * kUnitsV) pool[kFirstV + r * kPitchV + unit] = next_v[i];
      next_v[i] = uvec4(0);
      if (staged + r < min(keys, end) && unit < VALUES / 8 && r < BK)
        next_v[i] = quad_2(key_row(block, staged + r) * (VALUES / 8) + unit);
    }
    staged += BK;
    if (first) continue;
    barrier();

    for (uint j = 0; j < kKeysAcross; ++j) {
      MATRIX_C s[kDown];
      [[unroll]] for (uint i = 0; i < kDown; ++i) s[i] = MATRIX_C(0.0);
      [[unroll]] for (uint k = 0; k < kDeep; ++k) {
        MATRIX_B b;
        coopMatLoad(b, pool, j * TN * kPitchK + k * TK / 8, kPitchK,
                    gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint i = 0; i < kDown; ++i)
          s[i] = coopMatMulAdd(q[i * kDeep + k], b, s[i]);
      }
      [[unroll]] for (uint i = 0; i < kDown; ++i)
        coopMatStore(s[i], pool, own + i * TM * kPitchS + j * TN / 4, kPitchS,
                     gl_CooperativeMatrixLayoutRowMajor);
    }
    subgroupBarrier();

    float least = 1;
    [[unroll]] for (uint e = 0; e < kEach; ++e) {
      const uint at = own + (own_row + e * SUBGROUP) * kPitchS;
      const uint row = min(first_row + own_row + e * SUBGROUP, ROWS - 1);
      const uint limit = visible_keys(row, keys, CAUSAL);
      const bool some_hidden = key + BK > limit || HAS_MASK;
      vec4 scores[kOwn];
      float tile_most = -kMost;
      [[unroll]] for (uint i = 0; i < kOwn; ++i) {
        vec4 s = uintBitsToFloat(pool[at + part * kOwn + i]) * scale;
        if (some_hidden) {
          for (uint j = 0; j < 4; ++j) {
            uint column = key + (part * kOwn + i) * 4 + j;
            if (column >= limit) s[j] = kHidden;
            else if (HAS_MASK) s[j] += load_4(mask_at(block, row, column));
          }
        }
        scores[i] = s;
        tile_most = max(tile_most, max(max(s.x, s.y), max(s.z, s.w)));
      }
      const float now = max(most[e], share_max(tile_most));
      shrink[e] = exp(most[e] - now);
      least = min(least, shrink[e]);
      most[e] = now;
      sum[e] *= shrink[e];
      subgroupBarrier();
      [[unroll]] for (uint i = 0; i < kOwn; ++i) {
        vec4 s = scores[i], p = exp(s - now);
        if (some_hidden)
          p = mix(p, vec4(0), equal(floatBitsToUint(s), uvec4(floatBitsToUint(kHidden))));
        sum[e] += dot(p, vec4(1));
        scores[i] = p;
      }
      [[unroll]] for (uint i = 0; i < kOwn; i += 2)
        pool[at + (part * kOwn + i) / 2] = uvec4(pack_half(scores[i]), pack_half(scores[i + 1]));
    }
    const bool shrinks = subgroupMin(least) < 1.0;
    if (shrinks) put_factors(own, own_row, part, shrink);
    subgroupBarrier();

    if (shrinks) {
      [[unroll]] for (uint i = 0; i < kDown; ++i) {
        MATRIX_C factor;
        coopMatLoad(factor, pool, own + i * TM * kPitchS + kFactor, kPitchS,
                    gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0; j < kAcross; ++j) sums[i * kAcross + j] *= factor;
      }
    }
    for (uint k = 0; k < kKeysDeep; ++k) {
      MATRIX_A p[kDown];
      [[unroll]] for (uint i = 0; i < kDown; ++i)
        coopMatLoad(p[i], pool, own + i * TM * kPitchS + k * TK / 8, kPitchS,
                    gl_CooperativeMatrixLayoutRowMajor);
      [[unroll]] for (uint j = 0; j < kAcross; ++j) {
        MATRIX_B b;
        coopMatLoad(b, pool, kFirstV + k * TK * kPitchV + j * TN / 8, kPitchV,
                    gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint i = 0; i < kDown; ++i)
          sums[i * kAcross + j] = coopMatMulAdd(p[i], b, sums[i * kAcross + j]);
      }
    }
    key += BK;
    barrier();
  }

  [[unroll]] for (uint e = 0; e < kEach; ++e) {
    const uint row = first_row + own_row + e * SUBGROUP;
    sum[e] = share_sum(sum[e]);
    shrink[e] = IN_PARTS ? 1.0 : sum[e] == 0 ? 0.0 : 1.0 / sum[e];
    if (IN_PARTS && part == 0 && row < ROWS)
      put_pair_6(block.part * ALL_ROWS + query_row(block, row),
                 floatBitsToUint(vec2(most[e], sum[e])));
  }
  put_factors(own, own_row, part, shrink);
  subgroupBarrier();
  [[unroll]] for (uint i = 0; i < kDown; ++i) {
    MATRIX_C factors;
    coopMatLoad(factors, pool, own + i * TM * kPitchS + kFactor, kPitchS,
                gl_CooperativeMatrixLayoutRowMajor);
    [[unroll]] for (uint j = 0; j < kAcross; ++j) sums[i * kAcross + j] *= factors;
  }
  // BK columns of the result at a time.
  [[unroll]] for (uint first = 0; first < kAcross; first += kKeysAcross) {
    subgroupBarrier();
    [[unroll]] for (uint i = 0; i < kDown; ++i) {
      [[unroll]] for (uint j = first; j < min(first + kKeysAcross, kAcross); ++j)
        coopMatStore(sums[i * kAcross + j], pool, own + i * TM * kPitchS + (j - first) * TN / 4,
                     kPitchS, gl_CooperativeMatrixLayoutRowMajor);
    }
    subgroupBarrier();
    for (uint i = gl_SubgroupInvocationID; i < WM * (BK / 4); i += SUBGROUP) {
      uint r = i / (BK / 4), column = first * TN + i % (BK / 4) * 4;
      if (first_row + r >= ROWS || column >= VALUES) continue;
      uint to = block.part * ALL_ROWS + query_row(block, first_row + r);
      store4_5(to * VALUES + column, uintBitsToFloat(pool[own + r * kPitchS + i % (BK / 4)]));
    }
  }
}
