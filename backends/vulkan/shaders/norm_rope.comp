#version 450
// rope, and with NORM rope(rms_norm(x)·weight). A row is one head, or with FULL all heads of a token.
// A lane's unit is CHUNK pairs of a head, 4 or 1.
#include "rows.glsl"

layout(constant_id = 20) const bool SPLIT = false;  // pairs (i, i + D/2); else (2i, 2i + 1)
layout(constant_id = 21) const bool NORM = false;
layout(constant_id = 22) const bool FULL = false;
layout(constant_id = 23) const bool HAS_WEIGHT = false;

OPERAND(0)  // x
OPERAND(1)  // cos
OPERAND(2)  // sin
OPERAND(3)  // weight
OPERAND(4)  // output

#define ROWS param(0)
#define TOKENS param(1)
#define HEADS param(2)
#define DIM param(3)
#define EPSILON uintBitsToFloat(param(4))
#define COS_STEP(D) param(5 + (D))  // by sample, token, head
#define SIN_STEP(D) param(8 + (D))

// The pairs of a unit: first and second members.
struct Pairs {
  vec4 a, b;
};

// Elements of unit u of a row: where its first members begin, and its second.
uvec2 unit_at(uint u) {
  if (!SPLIT) return uvec2(2 * u * CHUNK, (2 * u + 1) * CHUNK);
  uint half_dim = DIM / 2, units = half_dim / CHUNK;
  uint a = u / units * DIM + u % units * CHUNK;
  return uvec2(a, a + half_dim);
}

// Interleaved, four pairs are stored a b a b, a b a b.
Pairs sort(vec4 v, vec4 w) {
  if (SPLIT || CHUNK == 1) return Pairs(v, w);
  return Pairs(vec4(v.xz, w.xz), vec4(v.yw, w.yw));
}

#define GET(K)                                                                \
  Pairs get_##K(uint base, uint u) {                                          \
    uvec2 at = base + unit_at(u);                                             \
    if (CHUNK == 4) return sort(load4_##K(at.x), load4_##K(at.y));            \
    return Pairs(vec4(load_##K(at.x)), vec4(load_##K(at.y)));                 \
  }
GET(0)
GET(3)

#define TABLE(K)                                 \
  vec4 table_##K(uint i) {                       \
    if (CHUNK == 4) return load4_##K(i);         \
    return vec4(load_##K(i));                    \
  }
TABLE(1)
TABLE(2)

void put(uint base, uint u, Pairs p) {
  uvec2 at = base + unit_at(u);
  if (CHUNK == 1) {
    store_4(at.x, p.a.x);
    store_4(at.y, p.b.x);
    return;
  }
  bool sorted = SPLIT;
  store4_4(at.x, sorted ? p.a : vec4(p.a.x, p.b.x, p.a.y, p.b.y));
  store4_4(at.y, sorted ? p.b : vec4(p.a.z, p.b.z, p.a.w, p.b.w));
}

Pairs kept[KEEP > 0 ? KEEP : 1];

void main() {
  const uint lane = lane_id(), rows = ROWS, heads = HEADS, dim = DIM;
  const uint head_units = dim / 2 / CHUNK, units = FULL ? heads * head_units : head_units;
  const uint width = FULL ? heads * dim : dim;
  const uint rounds = KEEP > 0 ? KEEP : (units + LANES - 1) / LANES;
  const bool exists = row_id() < rows;
  const uint row = min(row_id(), rows - 1), first = row * width;

  float factor = 1;
  if (NORM || KEEP > 0) {
    float sum = 0;
    for (uint i = 0; i < rounds; ++i) {
      uint u = lane + i * LANES;
      if (u >= units) continue;
      Pairs p = get_0(first, u);
      if (KEEP > 0) kept[i] = p;
      sum += CHUNK == 4 ? dot(p.a, p.a) + dot(p.b, p.b) : p.a.x * p.a.x + p.b.x * p.b.x;
    }
    if (NORM) factor = 1.0 / sqrt(row_sum(vec2(sum, 0)).x / float(width) + EPSILON);
  }

  const uint row_token = FULL ? row : row / heads;
  const uint token = row_token % TOKENS, sampl = row_token / TOKENS;
  const uint cos_at = sampl * COS_STEP(0) + token * COS_STEP(1);
  const uint sin_at = sampl * SIN_STEP(0) + token * SIN_STEP(1);
  for (uint i = 0; i < rounds; ++i) {
    uint u = lane + i * LANES;
    if (u >= units || !exists) continue;
    Pairs p;
    if (KEEP > 0) p = kept[i];
    else p = get_0(first, u);
    p = Pairs(p.a * factor, p.b * factor);
    if (HAS_WEIGHT) {
      Pairs w = get_3(0, u);
      p = Pairs(p.a * w.a, p.b * w.b);
    }
    uint head = FULL ? u / head_units : row % heads, at = u % head_units * CHUNK;
    vec4 c = table_1(cos_at + head * COS_STEP(2) + at);
    vec4 s = table_2(sin_at + head * SIN_STEP(2) + at);
    put(first, u, Pairs(p.a * c - p.b * s, p.a * s + p.b * c));
  }
}
