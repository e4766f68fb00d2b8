#version 450
// A few rows times a matrix that is read once: bound by memory. BM is the number of rows, at most 8.
#define MATMUL_ONLY
#include "contraction.glsl"

const uint kLanes = 32, kGroup = 128;
shared float partial[kGroup * BM * 4];  // [m][thread][4]

// b stored [N, K]: 32 lanes share two columns and step through k.
void along_k(Product p, uint thread) {
  uint lane = thread % kLanes, n = p.tile_n * BN + thread / kLanes * 2;
  vec2 sum[8];
  [[unroll]] for (uint m = 0; m < 8; ++m) sum[m] = vec2(0);
  for (uint k = lane * 4; k < K; k += kLanes * 4) {
    vec4 b0 = fetch_b(p, k, n), b1 = fetch_b(p, k, n + 1);
    [[unroll]] for (uint m = 0; m < 8; ++m) {
      if (m >= BM) break;
      vec4 a = fetch_a(p, row_of(p, m), k);
      sum[m] += vec2(dot(a, b0), dot(a, b1));
    }
  }
  [[unroll]] for (uint m = 0; m < 8; ++m) {
    if (m >= BM) break;
    // [m][lane][column]: those who add read neighbours.
    uint at = (m * kLanes + lane) * 8 + thread / kLanes * 2;
    partial[at] = sum[m].x;
    partial[at + 1] = sum[m].y;
  }
  barrier();
  if (thread >= BM * 8) return;
  uint m = thread / 8, column = p.tile_n * BN + thread % 8;
  float total = 0;
  for (uint i = 0; i < kLanes; ++i) total += partial[(m * kLanes + i) * 8 + thread % 8];
  if (column < N) store_2(p.c + m * LDC + column, finish(p, column, total));
}

// b stored [K, N]: a lane has four columns, every fourth k.
void along_n(Product p, uint thread) {
  uint lane = thread % kLanes, slice = thread / kLanes, n = p.tile_n * BN + lane * 4;
  vec4 sum[8];
  [[unroll]] for (uint m = 0; m < 8; ++m) sum[m] = vec4(0);
  for (uint k = slice; k < K; k += kGroup / kLanes) {
    vec4 b = fetch_b(p, k, n);
    [[unroll]] for (uint m = 0; m < 8; ++m) {
      if (m >= BM) break;
      sum[m] += load_0(row_of(p, m).x + k) * b;
    }
  }
  [[unroll]] for (uint m = 0; m < 8; ++m) {
    if (m >= BM) break;
    [[unroll]] for (uint i = 0; i < 4; ++i) partial[(m * kGroup + thread) * 4 + i] = sum[m][i];
  }
  barrier();
  for (uint i = thread; i < BM * kLanes; i += kGroup) {
    uint m = i / kLanes, at = i % kLanes;
    vec4 total = vec4(0);
    for (uint s = 0; s < kGroup / kLanes; ++s)
      [[unroll]] for (uint j = 0; j < 4; ++j)
        total[j] += partial[(m * kGroup + s * kLanes + at) * 4 + j];
    store_c(p, m, p.tile_n * BN + at * 4, total);
  }
}

void main() {
  read_sizes();
  Product p = product_of(group_id());
  if (TRANSPOSE_B) along_k(p, gl_LocalInvocationID.x);
  else along_n(p, gl_LocalInvocationID.x);
}
