#version 450
// rope, and with NORM rope(rms_norm(x)·weight). A row is one head, or with FULL all heads of a token.
// A lane's unit is four pairs of a head (CHUNK 8), or one (CHUNK 1).
#include "rows.glsl"
#include "walk.glsl"

layout(constant_id = 20) const bool SPLIT = false;  // pairs (i, i + D/2); else (2i, 2i + 1)
layout(constant_id = 21) const bool NORM = false;
layout(constant_id = 22) const bool FULL = false;
layout(constant_id = 23) const bool HAS_WEIGHT = false;
layout(constant_id = 24) const uint DIM = 2;         // of a head
layout(constant_id = 25) const bool STAY = false;    // a lane's units have the same angles

OPERAND(0)  // x
OPERAND(1)  // cos
OPERAND(2)  // sin
OPERAND(3)  // weight
OPERAND(4)  // output
CHUNK_INPUT(0)
CHUNK_INPUT(3)
CHUNK_OUTPUT(4)

#define ROWS param(0)
#define EPSILON uintBitsToFloat(param(1))
#define COS_STEP(D) param(2 + (D))  // by sample, token, head
#define SIN_STEP(D) param(5 + (D))
#define HEADS param(8)    // then as a divisor
#define TOKENS param(11)  // then as a divisor

#define PAIRS (CHUNK == 8 ? 4u : 1u)
#define HEAD_UNITS (DIM / 2 / PAIRS)

// The pairs of a unit: first and second members.
struct Pairs {
  vec4 a, b;
};

// Elements of unit u of a row: where its first members begin, and its second.
uvec2 unit_at(uint u) {
  if (!SPLIT) return uvec2(2 * u * PAIRS, 2 * u * PAIRS + 1);
  uint a = u / HEAD_UNITS * DIM + u % HEAD_UNITS * PAIRS;
  return uvec2(a, a + DIM / 2);
}

#define GET(K)                                                                              \
  Pairs get_##K(uint base, uint u) {                                                        \
    uvec2 at = base + unit_at(u);                                                           \
    if (CHUNK == 1) return Pairs(vec4(float_##K(at.x)), vec4(float_##K(at.y)));             \
    if (SPLIT) return Pairs(load4_##K(at.x), load4_##K(at.y));                              \
    Chunk c = get_wide_##K(at.x);                                                           \
    return Pairs(vec4(c.a.xz, c.b.xz), vec4(c.a.yw, c.b.yw));                               \
  }
GET(0)
GET(3)

void put(uint base, uint u, Pairs p) {
  uvec2 at = base + unit_at(u);
  if (CHUNK == 1) {
    store_4(at.x, p.a.x);
    store_4(at.y, p.b.x);
  } else if (SPLIT) {
    store4_4(at.x, p.a);
    store4_4(at.y, p.b);
  } else {
    put_wide_4(at.x, Chunk(vec4(p.a.x, p.b.x, p.a.y, p.b.y), vec4(p.a.z, p.b.z, p.a.w, p.b.w)));
  }
}

float squares(Pairs p) {
  return CHUNK == 1 ? p.a.x * p.a.x + p.b.x * p.b.x : dot(p.a, p.a) + dot(p.b, p.b);
}

// Cosines and sines of a unit of the row whose tables begin there.
struct Angles {
  vec4 c, s;
};
Angles angles(uvec2 row, uint u) {
  uint head = u / HEAD_UNITS, in_head = u % HEAD_UNITS * PAIRS;
  uvec2 at = row + in_head;
  if (FULL) at += head * uvec2(COS_STEP(2), SIN_STEP(2));
  if (CHUNK == 1) return Angles(vec4(float_1(at.x)), vec4(float_2(at.y)));
  return Angles(load4_1(at.x), load4_2(at.y));
}

void finish(uint first, uint u, Pairs p, float factor, Angles t) {
  if (NORM) p = Pairs(p.a * factor, p.b * factor);
  if (HAS_WEIGHT) {
    Pairs w = get_3(0, u);
    p = Pairs(p.a * w.a, p.b * w.b);
  }
  put(first, u, Pairs(p.a * t.c - p.b * t.s, p.a * t.s + p.b * t.c));
}

void main() {
  const uint lane = lane_id(), rows = ROWS, heads = HEADS;
  const uint units = FULL ? heads * HEAD_UNITS : HEAD_UNITS, width = units * 2 * PAIRS;
  const bool exists = row_id() < rows;
  const uint row = min(row_id(), rows - 1), first = row * width;

  const uint row_token = FULL ? row : quotient(row, param(9), param(10));
  const uint sampl = quotient(row_token, param(12), param(13)), token = row_token - sampl * TOKENS;
  uvec2 table = sampl * uvec2(COS_STEP(0), SIN_STEP(0)) + token * uvec2(COS_STEP(1), SIN_STEP(1));
  if (!FULL) table += (row - row_token * heads) * uvec2(COS_STEP(2), SIN_STEP(2));
  Angles staying;
  if (STAY) staying = angles(table, lane);

  float sum = 0, factor = 1;
  if (KEEP > 0) {
    Pairs kept[MOST_KEPT];
    EACH_KEPT(i) kept[i] = get_0(first, kept_chunk(lane, i, units));
    if (NORM) {
      EACH_KEPT(i) sum += is_kept(lane, i, units) ? squares(kept[i]) : 0;
      factor = 1.0 / sqrt(row_sum(sum) / float(width) + EPSILON);
    }
    if (!exists) return;
    EACH_KEPT(i) {
      if (is_kept(lane, i, units)) {
        Angles t = staying;
        if (!STAY) t = angles(table, lane + i * LANES);
        finish(first, lane + i * LANES, kept[i], factor, t);
      }
    }
    return;
  }
  if (NORM) {
    for (uint u = lane; u < units; u += LANES) sum += squares(get_0(first, u));
    factor = 1.0 / sqrt(row_sum(sum) / float(width) + EPSILON);
  }
  if (!exists) return;
  for (uint u = lane; u < units; u += LANES) {
    Angles t = staying;
    if (!STAY) t = angles(table, u);
    finish(first, u, get_0(first, u), factor, t);
  }
}
