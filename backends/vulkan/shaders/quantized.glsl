// What the kernels of quantized_matmul share: c [M, N] = a [M, K] × b [N, K] · scales + bias, with a
// and b i8 or f8e4m3.
#ifndef QUANTIZED_GLSL
#define QUANTIZED_GLSL

#include "tensor.glsl"

// quantized.cc writes them.
layout(constant_id = 16) const bool HAS_BIAS = false;
layout(constant_id = 17) const bool VECTOR_C = false;  // N is a multiple of 4
#ifndef FIXED
layout(constant_id = 18) const uint BM = 64;  // tile of a group
layout(constant_id = 19) const uint BN = 64;
#endif

OPERAND(0)  // a
OPERAND(1)  // a_scale
OPERAND(2)  // b
OPERAND(3)  // b_scale
OPERAND(4)  // bias [N]
OPERAND(5)  // c

#define TILES_M param(3)
#define TILES_N param(4)
uint M, N, K;

// First of all in main().
void read_sizes() { M = param(0), N = param(1), K = param(2); }

// Neighbouring groups work on eight rows of tiles at once, so that what they read stays in cache.
uvec2 first_of_tile(uint t) {
  const uint band = 8;
  uint first = t / (band * TILES_N) * band, height = min(band, TILES_M - first);
  uint rest = t % (band * TILES_N);
  return uvec2((first + rest % height) * BM, rest / height * BN);
}

// Four neighbours of row m of c, from n on; n is a multiple of 4.
void finish(uint m, uint n, vec4 sums) {
  if (m >= M || n >= N) return;
  const float row = load_1(m);
  if (VECTOR_C) {
    vec4 v = sums * row * load4_3(n);
    if (HAS_BIAS) v += vec4(load_4(n), load_4(n + 1), load_4(n + 2), load_4(n + 3));
    store4_5(m * N + n, v);
    return;
  }
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if (n + i >= N) continue;
    float v = sums[i] * row * load_3(n + i);
    if (HAS_BIAS) v += load_4(n + i);
    store_5(m * N + n + i, v);
  }
}

#endif  // QUANTIZED_GLSL
