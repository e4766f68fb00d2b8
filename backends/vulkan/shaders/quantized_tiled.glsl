// A tile of BM × BN by a group, 8 × 4 by an invocation: BM·BN = 32·group size. Words of four
// neighbours along k pass through shared memory. DOT(a, b, c) is c + the product of two words of i8.
#include "quantized.glsl"

layout(constant_id = 20) const bool INTEGER = true;  // i8; else f8e4m3, summed in f32
layout(constant_id = 21) const bool WORDS = false;   // K is a multiple of 4

const uint kRows = 8, kWords = 8, kPitchA = BM + 1, kPitchB = BN + 1;

shared uint tile_a[kWords * kPitchA];  // [k / 4][m]
shared uint tile_b[kWords * kPitchB];  // [k / 4][n]

#define FETCH(K_OPERAND, NAME, ROWS)                                                         \
  uint NAME(uint row, uint k) {                                                              \
    if (row >= ROWS || k >= K) return 0u;                                                    \
    if (WORDS) return word_##K_OPERAND((row * (K >> 2)) + (k >> 2));                         \
    uint v = 0, at = row * K + k, count = min(4u, K - k);                                    \
    for (uint i = 0; i < count; ++i) v |= byte_##K_OPERAND(at + i) << 8 * i;                 \
    return v;                                                                                \
  }
FETCH(0, fetch_a, M)
FETCH(2, fetch_b, N)

// Of four f8e4m3.
vec4 widen(uint w) {
  return vec4(f8e4m3_to_f32(w & 0xffu), f8e4m3_to_f32(w >> 8 & 0xffu),
              f8e4m3_to_f32(w >> 16 & 0xffu), f8e4m3_to_f32(w >> 24));
}

void main() {
  read_sizes();
  const uvec2 corner = first_of_tile(group_id());
  const uint thread = gl_LocalInvocationID.x, column = thread % (BN / 4), row = thread / (BN / 4);

  ivec4 sum[kRows];
  vec4 fsum[kRows];
  [[unroll]] for (uint i = 0; i < kRows; ++i) {
    sum[i] = ivec4(0);
    fsum[i] = vec4(0);
  }
  for (uint k0 = 0; k0 < K; k0 += 4 * kWords) {
    for (uint i = thread; i < BM * kWords; i += GROUP_SIZE) {
      uint k = i % kWords, m = i / kWords;
      tile_a[k * kPitchA + m] = fetch_a(corner.x + m, k0 + 4 * k);
    }
    for (uint i = thread; i < BN * kWords; i += GROUP_SIZE) {
      uint k = i % kWords, n = i / kWords;
      tile_b[k * kPitchB + n] = fetch_b(corner.y + n, k0 + 4 * k);
    }
    barrier();
    for (uint k = 0; k < kWords; ++k) {
      const uint at_a = k * kPitchA + row * kRows, at_b = k * kPitchB + column * 4;
      if (INTEGER) {
        const ivec4 b = ivec4(tile_b[at_b], tile_b[at_b + 1], tile_b[at_b + 2], tile_b[at_b + 3]);
        [[unroll]] for (uint i = 0; i < kRows; ++i) {
          const int a = int(tile_a[at_a + i]);
          sum[i] = ivec4(DOT(a, b.x, sum[i].x), DOT(a, b.y, sum[i].y), DOT(a, b.z, sum[i].z),
                         DOT(a, b.w, sum[i].w));
        }
      } else {
        mat4 b = mat4(widen(tile_b[at_b]), widen(tile_b[at_b + 1]), widen(tile_b[at_b + 2]),
                      widen(tile_b[at_b + 3]));
        [[unroll]] for (uint i = 0; i < kRows; ++i) fsum[i] += widen(tile_a[at_a + i]) * b;
      }
    }
    barrier();
  }
  for (uint i = 0; i < kRows; ++i) {
    vec4 v = INTEGER ? vec4(sum[0]) : fsum[0];
    [[unroll]] for (uint j = 1; j < kRows; ++j)
      if (i == j) v = INTEGER ? vec4(sum[j]) : fsum[j];
    finish(corner.x + row * kRows + i, corner.y + column * 4, v);
  }
}
