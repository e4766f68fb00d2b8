#version 450
// A tile of BM × BN by a group, 8 × 4 by an invocation, in f32 on any device: BM·BN = 32·group size.
#include "contraction.glsl"

const uint kRows = 8, kPitchA = BM / 4 + 1, kPitchB = BN / 4 + 1;  // padded against bank conflicts

shared vec4 tile_a[BK * kPitchA];  // [k][m / 4]
shared vec4 tile_b[BK * kPitchB];  // [k][n / 4]
shared uvec4 rows[BM];

void load_tiles(Product p, uint k0) {
  const uint threads = GROUP_SIZE;
  for (uint i = gl_LocalInvocationID.x; i < BM / 4 * (BK / 4); i += threads) {
    uint k = i % (BK / 4) * 4, m = i / (BK / 4);
    mat4 block = mat4(0);
    for (uint j = 0; j < 4; ++j) {
      vec4 v = fetch_a(p, rows[m * 4 + j], k0 + k);
      [[unroll]] for (uint i = 0; i < 4; ++i) block[i] = with_part(block[i], j, v[i]);
    }
    [[unroll]] for (uint i = 0; i < 4; ++i) tile_a[(k + i) * kPitchA + m] = block[i];
  }
  for (uint i = gl_LocalInvocationID.x; i < BN / 4 * (BK / 4); i += threads) {
    uint n0 = p.tile_n * BN;
    if (TRANSPOSE_B) {
      uint k = i % (BK / 4) * 4, n = i / (BK / 4);
      mat4 block = mat4(0);
      for (uint j = 0; j < 4; ++j) {
        vec4 v = fetch_b(p, k0 + k, n0 + n * 4 + j);
        [[unroll]] for (uint i = 0; i < 4; ++i) block[i] = with_part(block[i], j, v[i]);
      }
      [[unroll]] for (uint i = 0; i < 4; ++i) tile_b[(k + i) * kPitchB + n] = block[i];
    } else {
      uint n = i % (BN / 4), k = i / (BN / 4) * 4;
      for (uint j = 0; j < 4; ++j)
        tile_b[(k + j) * kPitchB + n] = fetch_b(p, k0 + k + j, n0 + n * 4);
    }
  }
}

void main() {
  read_sizes();
  Product p = product_of(group_id());
  const uint thread = gl_LocalInvocationID.x, column = thread % (BN / 4), row = thread / (BN / 4);
  for (uint i = thread; i < BM; i += GROUP_SIZE) rows[i] = row_of(p, p.tile_m * BM + i);
  barrier();

  vec4 sum[kRows];
  [[unroll]] for (uint i = 0; i < kRows; ++i) sum[i] = vec4(0);
  for (uint k0 = 0; k0 < K; k0 += BK) {
    load_tiles(p, k0);
    barrier();
    for (uint k = 0; k < BK; ++k) {
      vec4 b = tile_b[k * kPitchB + column];
      vec4 a0 = tile_a[k * kPitchA + row * 2], a1 = tile_a[k * kPitchA + row * 2 + 1];
      [[unroll]] for (uint i = 0; i < 4; ++i) {
        sum[i] = fma(vec4(a0[i]), b, sum[i]);
        sum[i + 4] = fma(vec4(a1[i]), b, sum[i + 4]);
      }
    }
    barrier();
  }
  for (uint i = 0; i < kRows; ++i) {
    vec4 v = sum[0];
    [[unroll]] for (uint j = 1; j < kRows; ++j)
      if (i == j) v = sum[j];
    store_c(p, p.tile_m * BM + row * kRows + i, p.tile_n * BN + column * 4, v);
  }
}
