// Staging of 16-bit operands for cooperative matrices: tiles of a and b in shared memory as they lie
// in memory, sixteen bytes at a time, rows padded against bank conflicts.
#ifndef CONTRACTION_COOPMAT_GLSL
#define CONTRACTION_COOPMAT_GLSL

#include "contraction.glsl"

#ifndef FIXED
layout(constant_id = 26) const uint GROUP = 256;  // invocations
// Eight neighbours of a along k, and of b along its contiguous dimension, are one aligned load.
layout(constant_id = 27) const bool WIDE_A = false;
layout(constant_id = 28) const bool WIDE_B = false;
#endif

// In units of 16 bytes: [m][k], and [n][k] or [k][n].
const uint kPitchA = BK / 8 + 1;
const uint kPitchB = (TRANSPOSE_B ? BK : BN) / 8 + 1;
const uint kTileA = BM * kPitchA;
const uint kTileB = (TRANSPOSE_B ? BN : BK) * kPitchB;
const uint kStage = kTileA + kTileB;

// What an invocation loads: column `a_column` of rows a_row, a_row + kStepA, ...
const uint kAcrossA = BK / 8, kStepA = GROUP / kAcrossA, kLoadsA = BM / kStepA;
const uint kAcrossB = (TRANSPOSE_B ? BK : BN) / 8, kStepB = GROUP / kAcrossB;
const uint kLoadsB = (TRANSPOSE_B ? BN : BK) / kStepB;

// Followed without divisions as k grows.
Column advance(Column c) {
  c.k += BK;
  if (MODE == MATMUL) return c;
  c.channel += BK;
  while (c.channel >= GROUP_CHANNELS) {
    c.channel -= GROUP_CHANNELS;
    if (++c.kw < KERNEL[2]) continue;
    c.kw = 0;
    if (++c.kh < KERNEL[1]) continue;
    c.kh = 0;
    ++c.kt;
  }
  return c;
}

uvec4 with_half(uvec4 v, uint i, uint half_bits) {
  return v | mix(uvec4(0), uvec4(half_bits << 16 * (i & 1u)),
                 equal(uvec4(i >> 1), uvec4(0, 1, 2, 3)));
}

// Eight columns of a row of a from c on. What is not `inside` is to become zeros, but no earlier than
// it is needed: whoever looks at it waits for the load.
uvec4 fetch8_a(Product p, uvec4 row, Column c, out bool inside) {
  uvec4 v = uvec4(0);
  if (WIDE_A && MODE == MATMUL) {  // rows beyond the last are the last: nobody stores what they give
    inside = c.k < K;
    return quad_0(row.x + min(c.k, K - 8) >> 3);
  }
  inside = row.x != kNowhere && c.k < K;
  if (WIDE_A) {  // without branches: loads follow one another
    uint at = element_of_a(p, row, c);
    inside = inside && at != kNowhere;
    return quad_0(inside ? at >> 3 : 0);
  }
  if (!inside) return v;
  for (uint i = 0; i < 8 && c.k + i < K; ++i) {
    uint at = element_of_a(p, row, column_at(c.k + i));
    if (at != kNowhere) v = with_half(v, i, half_0(at));
  }
  return v;
}

// Eight neighbours of b along its contiguous dimension; likewise.
uvec4 fetch8_b(Product p, Column c, uint n, out bool inside) {
  uvec4 v = uvec4(0);
  if (WIDE_B && TRANSPOSE_B && MODE != CONV_TRANSPOSE) {  // columns likewise
    inside = c.k < K;
    return quad_1(p.b + min(n, N - 1) * K + min(c.k, K - 8) >> 3);
  }
  inside = c.k < K && n < N;
  if (WIDE_B) {
    uint at = TRANSPOSE_B ? element_of_b(p, c, n) : p.b + c.k * N + n;
    inside = inside && at != kNowhere;
    return quad_1(inside ? at >> 3 : 0);
  }
  if (!inside) return v;
  uint count = min(8, TRANSPOSE_B ? K - c.k : N - n);
  for (uint i = 0; i < count; ++i) {
    uint at = TRANSPOSE_B ? element_of_b(p, column_at(c.k + i), n) : p.b + c.k * N + n + i;
    if (at != kNowhere) v = with_half(v, i, half_1(at));
  }
  return v;
}

#endif  // CONTRACTION_COOPMAT_GLSL
