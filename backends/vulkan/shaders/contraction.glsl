// What the shaders of matrix products share: c [M, N] = activation(a [M, K] × b [K, N] + bias), many
// of them. A convolution is such a product whose a is gathered: row m is an output position, k runs
// over taps and channels, b is the weight [N, K].
#ifndef CONTRACTION_GLSL
#define CONTRACTION_GLSL

#include "tensor.glsl"
#include "activation.glsl"

#define MATMUL 0
#define CONV 1
#define CONV_TRANSPOSE 2

#ifdef MATMUL_ONLY
const uint MODE = MATMUL;
#else
layout(constant_id = 16) const uint MODE = MATMUL;
#endif
layout(constant_id = 17) const bool TRANSPOSE_B = true;  // b is stored [N, K]
// Four neighbours along k of a, of the contiguous dimension of b, and along n of c, go together.
layout(constant_id = 18) const bool VECTOR_A = false;
layout(constant_id = 19) const bool VECTOR_B = false;
layout(constant_id = 20) const bool VECTOR_C = false;
layout(constant_id = 21) const uint ACTIVATION = 0;
layout(constant_id = 22) const bool HAS_BIAS = false;
layout(constant_id = 23) const uint BM = 64;  // tile of a group
layout(constant_id = 24) const uint BN = 64;
layout(constant_id = 25) const uint BK = 16;

OPERAND(0)  // a
OPERAND(1)  // b
OPERAND(2)  // c
OPERAND(3)  // bias [N]

// contraction.cc writes these.
#define M param(0)
#define N param(1)
#define K param(2)
#define TILES_M param(3)
#define TILES_N param(4)
#define LDC param(5)  // elements from row to row of c
// Which product: four leading dimensions and how far they step in a and b.
#define LEAD(D) param(8 + (D))
#define LEAD_A(D) param(12 + (D))
#define LEAD_B(D) param(16 + (D))
#define LEAD_C param(20)
// Convolutions, by dimension t, h, w.
#define IN(D) param(24 + (D))
#define OUT(D) param(27 + (D))
#define KERNEL(D) param(30 + (D))
#define STRIDE(D) param(33 + (D))
#define DILATION(D) param(36 + (D))
#define PAD(D) param(39 + (D))
#define CHANNELS param(42)        // of x
#define GROUP_CHANNELS param(43)  // of a filter
#define REPLICATE param(44)       // bit D: the edge repeats beyond the border

const uint kNowhere = 0xffffffffu;

struct Product {
  uint tile_m, tile_n;    // which tile
  uint a, b, c;           // first elements of the matrices
  uint bias;              // first element of the bias
};

// Neighbouring groups work on eight rows of tiles at once, so that the tiles of a and b that they
// read stay in cache.
Product product_of(uint group) {
  Product p;
  uint tiles = TILES_M * TILES_N, z = group / tiles, t = group % tiles;
  const uint band = 8;
  uint first = t / (band * TILES_N) * band, height = min(band, TILES_M - first);
  uint rest = t % (band * TILES_N);
  p.tile_m = first + rest % height;
  p.tile_n = rest / height;
  p.a = p.b = 0;
  p.c = z * LEAD_C;
  p.bias = MODE == MATMUL ? 0 : z * N;
  for (int d = 3; d >= 0; --d) {
    uint extent = LEAD(d), i = z % extent;
    z /= extent;
    p.a += i * LEAD_A(d);
    p.b += i * LEAD_B(d);
  }
  return p;
}

// Where row m of a begins: an element, or an image's first pixel and the position in it that tap 0
// sees. x is kNowhere outside.
uvec4 row_of(Product p, uint m) {
  if (m >= M) return uvec4(kNowhere);
  if (MODE == MATMUL) return uvec4(p.a + m * K, 0, 0, 0);
  uint w = m % OUT(2), rest = m / OUT(2);
  uint h = rest % OUT(1);
  rest /= OUT(1);
  uint t = rest % OUT(0);
  uint image = rest / OUT(0) * IN(0) * IN(1) * IN(2);
  if (MODE == CONV)
    return uvec4(image, t * STRIDE(0) - PAD(0), h * STRIDE(1) - PAD(1), w * STRIDE(2) - PAD(2));
  return uvec4(image, t + PAD(0), h + PAD(1), w + PAD(2));
}

// The input coordinate along D that tap k sees from `from`; kNowhere in padding.
uint coordinate(uint d, uint from, uint k) {
  if (MODE == CONV) {
    int at = int(from + k * DILATION(d));
    if ((REPLICATE >> d & 1u) != 0) return uint(clamp(at, 0, int(IN(d)) - 1));
    return uint(at) < IN(d) ? uint(at) : kNowhere;
  }
  int at = int(from - k * DILATION(d));
  uint stride = STRIDE(d), q = uint(max(at, 0)) / stride;
  return at >= 0 && q * stride == uint(at) && q < IN(d) ? q : kNowhere;
}

// The element of x under column k of a's row; kNowhere in padding.
uint gather(Product p, uvec4 row, uint k) {
  uint tap = k / GROUP_CHANNELS, channel = k - tap * GROUP_CHANNELS;
  uint kw = tap % KERNEL(2), rest = tap / KERNEL(2);
  uint kh = rest % KERNEL(1), kt = rest / KERNEL(1);
  uint t = coordinate(0, row.y, kt), h = coordinate(1, row.z, kh), w = coordinate(2, row.w, kw);
  if (t == kNowhere || h == kNowhere || w == kNowhere) return kNowhere;
  return (row.x + (t * IN(1) + h) * IN(2) + w) * CHANNELS + p.a + channel;
}

// Loops over the parts of a vector stay loops in the module: unrolled there, with every dtype in each
// pass, it would grow to megabytes. No array or vector is indexed by their counters.
vec4 with_part(vec4 v, uint i, float part) {
  return mix(v, vec4(part), equal(uvec4(i), uvec4(0, 1, 2, 3)));
}
float part_of(vec4 v, uint i) { return i < 2 ? (i == 0 ? v.x : v.y) : (i == 2 ? v.z : v.w); }

// Columns k to k + 3 of a row of a; zeros outside.
vec4 fetch_a(Product p, uvec4 row, uint k) {
  vec4 v = vec4(0);
  if (row.x == kNowhere) return v;
  for (uint i = 0; i < (VECTOR_A ? 1 : 4) && k + i < K; ++i) {
    uint at = MODE == MATMUL ? row.x + k + i : gather(p, row, k + i);
    if (at == kNowhere) continue;
    if (VECTOR_A) v = load4_0(at);
    else v = with_part(v, i, load_0(at));
  }
  return v;
}

// Four neighbours of b along its contiguous dimension: (k to k + 3, n) where it is stored [N, K],
// (k, n to n + 3) otherwise; zeros outside.
vec4 fetch_b(Product p, uint k, uint n) {
  vec4 v = vec4(0);
  if (k >= K || n >= N) return v;
  uint at = p.b + (TRANSPOSE_B ? n * K + k : k * N + n);
  if (VECTOR_B) return load4_1(at);
  uint count = min(4, TRANSPOSE_B ? K - k : N - n);
  for (uint i = 0; i < count; ++i) v = with_part(v, i, load_1(at + i));
  return v;
}

float finish(Product p, uint n, float v) {
  if (HAS_BIAS) v += load_3(p.bias + n);
  return activate(ACTIVATION, v);
}

// Columns n to n + 3 of row m of c.
void store_c(Product p, uint m, uint n, vec4 v) {
  if (m >= M) return;
  uint at = p.c + m * LDC + n;
  vec4 result = v;
  for (uint i = 0; i < 4 && n + i < N; ++i) {
    float r = finish(p, n + i, part_of(v, i));
    if (VECTOR_C) result = with_part(result, i, r);
    else store_2(at + i, r);
  }
  if (VECTOR_C && n < N) store4_2(at, result);
}

#endif  // CONTRACTION_GLSL
