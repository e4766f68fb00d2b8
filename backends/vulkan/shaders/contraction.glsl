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
// What a build for one tile knows: its loops unroll before any driver sees them.
#ifndef FIXED
layout(constant_id = 17) const bool TRANSPOSE_B = true;  // b is stored [N, K]
layout(constant_id = 23) const uint BM = 64;             // tile of a group
layout(constant_id = 24) const uint BN = 64;
layout(constant_id = 25) const uint BK = 16;
#endif
// Four neighbours along k of a, of the contiguous dimension of b, and along n of c, go together.
layout(constant_id = 18) const bool VECTOR_A = false;
layout(constant_id = 19) const bool VECTOR_B = false;
layout(constant_id = 20) const bool VECTOR_C = false;
layout(constant_id = 21) const uint ACTIVATION = 0;
layout(constant_id = 22) const bool HAS_BIAS = false;

OPERAND(0)  // a
OPERAND(1)  // b
OPERAND(2)  // c
OPERAND(3)  // bias [N]

// contraction.cc writes the parameters. What loops need is read once: compilers do not move loads
// across barriers.
uint M, N, K;
uint LDC;                            // elements from row to row of c
uvec3 IN, KERNEL, STRIDE, DILATION;  // convolutions: dimensions t, h, w
uint CHANNELS, GROUP_CHANNELS;       // of x, of a filter
uint REPLICATE;                      // bit d: the edge repeats beyond the border

#define TILES_M param(3)
#define TILES_N param(4)
// Which product: four leading dimensions and how far they step in a and b.
#define LEAD(D) param(8 + (D))
#define LEAD_A(D) param(12 + (D))
#define LEAD_B(D) param(16 + (D))
#define LEAD_C param(20)
#define OUT(D) param(27 + (D))
#define PAD(D) param(39 + (D))
// conv_transpose: output positions with one remainder by the stride are products of
// their own, for each sees only every TAP_STEP-th tap. OUT counts the positions of one, KERNEL
// the taps that one sees at most, DILATION is in pixels of x.
#define TAP_STEP(D) param(45 + (D))
#define ALL_TAPS(D) param(48 + (D))
#define ALL_OUT(D) param(51 + (D))
#define TAP_DILATION(D) param(54 + (D))

uvec3 params3(uint i) { return uvec3(param(i), param(i + 1), param(i + 2)); }

// First of all in main().
void read_sizes() {
  M = param(0), N = param(1), K = param(2), LDC = param(5);
  if (MODE == MATMUL) return;
  IN = params3(24), KERNEL = params3(30), STRIDE = params3(33), DILATION = params3(36);
  CHANNELS = param(42), GROUP_CHANNELS = param(43), REPLICATE = param(44);
}

const uint kNowhere = 0xffffffffu;

struct Product {
  uint tile_m, tile_n;    // which tile
  uint a, b, c;           // first elements of the matrices
  uint bias;              // first element of the bias
  uvec3 remainder, first_tap, taps;  // conv_transpose: the first tap seen, and how many
  ivec3 shift;                   // and the pixel that position 0 sees with it
};

void find_taps(inout Product p, uint z) {
  z /= LEAD(3);
  p.remainder = uvec3(z / LEAD(2) / LEAD(1), z / LEAD(2) % LEAD(1), z % LEAD(2));
  [[unroll]] for (uint d = 0; d < 3; ++d) {
    uint at = p.remainder[d] + PAD(d), step = TAP_STEP(d), k = 0;
    while (k < step && k * TAP_DILATION(d) % STRIDE[d] != at % STRIDE[d]) ++k;
    bool seen = k < step && k < ALL_TAPS(d);
    p.first_tap[d] = k;
    p.taps[d] = seen ? (ALL_TAPS(d) - k + step - 1) / step : 0;
    p.shift[d] = (int(at) - int(k * TAP_DILATION(d))) / int(STRIDE[d]);
  }
}

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
  p.bias = 0;
  if (MODE != MATMUL) p.c = p.bias = z % LEAD(3) * N;
  if (MODE == CONV_TRANSPOSE) find_taps(p, z);
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
  uint image = rest / OUT(0) * IN[0] * IN[1] * IN[2];
  if (MODE == CONV)
    return uvec4(image, t * STRIDE[0] - PAD(0), h * STRIDE[1] - PAD(1), w * STRIDE[2] - PAD(2));
  return uvec4(image, uvec3(t, h, w) + uvec3(p.shift));
}

// The row of c that row m of the product is; kNowhere when there is none.
uint row_of_c(Product p, uint m) {
  if (m >= M) return kNowhere;
  if (MODE != CONV_TRANSPOSE) return m;
  uint w = m % OUT(2), rest = m / OUT(2);
  uint h = rest % OUT(1);
  rest /= OUT(1);
  uvec3 at = uvec3(rest % OUT(0), h, w) * STRIDE + p.remainder;
  if (at.x >= ALL_OUT(0) || at.y >= ALL_OUT(1) || at.z >= ALL_OUT(2)) return kNowhere;
  return ((rest / OUT(0) * ALL_OUT(0) + at.x) * ALL_OUT(1) + at.y) * ALL_OUT(2) + at.z;
}

// The input coordinate along d that tap k sees from `from`; kNowhere in padding.
uint coordinate(Product p, uint d, uint from, uint k) {
  if (MODE == CONV) {
    int at = int(from + k * DILATION[d]);
    if ((REPLICATE >> d & 1u) != 0) return uint(clamp(at, 0, int(IN[d]) - 1));
    return uint(at) < IN[d] ? uint(at) : kNowhere;
  }
  uint at = from - k * DILATION[d];
  return k < p.taps[d] && at < IN[d] ? at : kNowhere;
}

// A column of a, or row of b, of a convolution: a tap and a channel.
struct Column {
  uint k, channel, kt, kh, kw;
};

Column column_at(uint k) {
  Column c = Column(k, 0, 0, 0, 0);
  if (MODE == MATMUL) return c;
  uint tap = k / GROUP_CHANNELS;
  c.channel = k - tap * GROUP_CHANNELS;
  c.kw = tap % KERNEL[2];
  tap /= KERNEL[2];
  c.kh = tap % KERNEL[1];
  c.kt = tap / KERNEL[1];
  return c;
}

// The element of a in this row and column; kNowhere in padding.
uint element_of_a(Product p, uvec4 row, Column c) {
  if (MODE == MATMUL) return row.x + c.k;
  uint t = coordinate(p, 0, row.y, c.kt), h = coordinate(p, 1, row.z, c.kh);
  uint w = coordinate(p, 2, row.w, c.kw);
  if (t == kNowhere || h == kNowhere || w == kNowhere) return kNowhere;
  return (row.x + (t * IN[1] + h) * IN[2] + w) * CHANNELS + p.a + c.channel;
}

// The element of b, stored [N, K], in this row and column; kNowhere where these positions see no such tap.
uint element_of_b(Product p, Column c, uint n) {
  if (MODE != CONV_TRANSPOSE) return p.b + n * K + c.k;
  if (c.kt >= p.taps.x || c.kh >= p.taps.y || c.kw >= p.taps.z) return kNowhere;
  uvec3 tap = p.first_tap + uvec3(c.kt, c.kh, c.kw) * uvec3(TAP_STEP(0), TAP_STEP(1), TAP_STEP(2));
  uint all = ALL_TAPS(1) * ALL_TAPS(2);
  return p.b + ((n * ALL_TAPS(0) + tap.x) * all + tap.y * ALL_TAPS(2) + tap.z) * GROUP_CHANNELS +
         c.channel;
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
    uint at = element_of_a(p, row, column_at(k + i));
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
  uint count = VECTOR_B ? 1 : min(4, TRANSPOSE_B ? K - k : N - n);
  for (uint i = 0; i < count; ++i) {
    uint at = TRANSPOSE_B ? element_of_b(p, column_at(k + i), n) : p.b + k * N + n + i;
    if (at == kNowhere) continue;
    if (VECTOR_B) v = load4_1(at);
    else v = with_part(v, i, load_1(at));
  }
  return v;
}

float finish(Product p, uint n, float v) {
  if (HAS_BIAS) v += load_3(p.bias + n);
  return activate(ACTIVATION, v);
}

// Columns n to n + 3 of row m of c.
void store_c(Product p, uint m, uint n, vec4 v) {
  m = row_of_c(p, m);
  if (m == kNowhere) return;
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
