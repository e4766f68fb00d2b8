// Norms of one row of the last axis after the other, norm(x)·weight + bias, then ·(1 + scale) + shift.
// With RESIDUAL, of x' = x + gate·y, which is stored too. With QUANTIZED, what is stored of the norm are
// 8-bit numbers.
#ifndef ROW_NORM_GLSL
#define ROW_NORM_GLSL

#include "rows.glsl"

layout(constant_id = 20) const bool RMS = false;
layout(constant_id = 21) const bool HAS_WEIGHT = false;
layout(constant_id = 22) const bool HAS_BIAS = false;
// 0: absent; 1: one for each element of a row; 2: one for the row.
layout(constant_id = 23) const uint SCALE = 0;
layout(constant_id = 24) const uint SHIFT = 0;
layout(constant_id = 25) const uint GATE = 0;
layout(constant_id = 26) const uint GATE_RANK = 0;

ROW_OPERAND(0)  // x
ROW_OPERAND(1)  // weight
ROW_OPERAND(2)  // bias
ROW_OPERAND(3)  // scale
ROW_OPERAND(4)  // shift
#ifdef QUANTIZED
layout(constant_id = 27) const bool INTEGER = true;  // i8; else f8e4m3
OPERAND(5)
#include "narrow_rows.glsl"
#else
ROW_OUTPUT(5)
#endif

#define ROWS param(0)
#define WIDTH param(1)
#define EPSILON uintBitsToFloat(param(2))
// 3: broadcast_row() of scale and shift, then of gate

#ifdef RESIDUAL
ROW_OPERAND(6)  // y
ROW_OPERAND(7)  // gate
ROW_OUTPUT(8)   // x'
#ifdef QUANTIZED
OPERAND(9)  // the rows' factors
NARROW_ROWS(5, 9)
#endif

Chunk residual(Chunk x, Chunk y, uint gate, uint c) {
  if (GATE != 0) {
    Chunk g = get_7(gate, GATE == 1 ? 1 : 0, c);
    y = Chunk(y.a * g.a, y.b * g.b);
  }
  return Chunk(x.a + y.a, x.b + y.b);
}
Chunk normed(uint first, uint gate, uint c) {
  return residual(get_0(first, 1, c), get_6(first, 1, c), gate, c);
}
#else
#ifdef QUANTIZED
OPERAND(6)  // the rows' factors
NARROW_ROWS(5, 6)
#endif
Chunk normed(uint first, uint gate, uint c) { return get_0(first, 1, c); }
#endif

float first_sum(Chunk x) { return RMS ? chunk_squares(x) : chunk_sum(x); }
// Far from zero the mean is rounded; what it is off by comes from the distances to it.
vec2 second_sums(Chunk x, float mean) {
  x = chunk_minus(x, mean);
  return vec2(chunk_sum(x), chunk_squares(x));
}

// Mean, what it is off by, 1/√(variance + ε).
vec3 statistics(float mean, vec2 sums, float width) {
  if (RMS) return vec3(0, 0, 1.0 / sqrt(mean + EPSILON));
  float rest = sums.x / width;
  return vec3(mean, rest, 1.0 / sqrt(sums.y / width - rest * rest + EPSILON));
}

Chunk finished(uint c, Chunk x, vec3 s, uvec2 at) {
  x = Chunk((x.a - s.x - s.y) * s.z, (x.b - s.x - s.y) * s.z);
  if (HAS_WEIGHT) {
    Chunk w = get_1(0, 1, c);
    x = Chunk(x.a * w.a, x.b * w.b);
  }
  if (HAS_BIAS) {
    Chunk w = get_2(0, 1, c);
    x = Chunk(x.a + w.a, x.b + w.b);
  }
  if (SCALE != 0) {
    Chunk w = get_3(at.x, SCALE == 1 ? 1 : 0, c);
    x = Chunk(x.a + x.a * w.a, x.b + x.b * w.b);
  }
  if (SHIFT != 0) {
    Chunk w = get_4(at.y, SHIFT == 1 ? 1 : 0, c);
    x = Chunk(x.a + w.a, x.b + w.b);
  }
  return x;
}

void main() {
  const uint lane = lane_id(), rows = ROWS, width = WIDTH, chunks = width / CHUNK;
  const bool exists = row_id() < rows;
  const uint row = min(row_id(), rows - 1), first = row * width;
  const uvec2 at = broadcast_row(row, 3, RANK);
  uint gate = 0;
#ifdef RESIDUAL
  gate = broadcast_row(row, 3 + 3 * RANK, GATE_RANK).x;
#endif
  float sum = 0;
  vec2 sums = vec2(0);
  if (KEEP > 0) {
    Chunk kept[MOST_KEPT];
    EACH_KEPT(i) kept[i] = get_0(first, 1, kept_chunk(lane, i, chunks));
#ifdef RESIDUAL
    Chunk other[MOST_KEPT];
    EACH_KEPT(i) other[i] = get_6(first, 1, kept_chunk(lane, i, chunks));
    EACH_KEPT(i) {
      if (is_kept(lane, i, chunks)) {
        kept[i] = residual(kept[i], other[i], gate, lane + i * LANES);
        if (exists) put_8(first, lane + i * LANES, kept[i]);
      }
    }
#endif
    EACH_KEPT(i) sum += is_kept(lane, i, chunks) ? first_sum(kept[i]) : 0;
    const float mean = row_sum(sum) / float(width);
    if (!RMS) {
      EACH_KEPT(i) sums += is_kept(lane, i, chunks) ? second_sums(kept[i], mean) : vec2(0);
      sums = row_sum(sums);
    }
    const vec3 s = statistics(mean, sums, float(width));
#ifdef QUANTIZED
    uint most = 0;
    EACH_KEPT(i) {
      if (is_kept(lane, i, chunks)) {
        kept[i] = finished(lane + i * LANES, kept[i], s, at);
        most = max(most, magnitude(kept[i]));
      }
    }
    const float factor = row_factor(most, exists && lane == 0, row);
    if (!exists) return;
    EACH_KEPT(i) {
      if (is_kept(lane, i, chunks)) put_narrow(first + (lane + i * LANES) * CHUNK, kept[i], factor);
    }
#else
    if (!exists) return;
    EACH_KEPT(i) {
      if (is_kept(lane, i, chunks))
        put_5(first, lane + i * LANES, finished(lane + i * LANES, kept[i], s, at));
    }
#endif
    return;
  }
  for (uint c = lane; c < chunks; c += LANES) sum += first_sum(normed(first, gate, c));
  const float mean = row_sum(sum) / float(width);
  if (!RMS) {
    for (uint c = lane; c < chunks; c += LANES) sums += second_sums(normed(first, gate, c), mean);
    sums = row_sum(sums);
  }
  const vec3 s = statistics(mean, sums, float(width));
#ifdef QUANTIZED
  uint most = 0;
  for (uint c = lane; c < chunks; c += LANES)
    most = max(most, magnitude(finished(c, normed(first, gate, c), s, at)));
  const float factor = row_factor(most, exists && lane == 0, row);
#endif
  if (!exists) return;
  for (uint c = lane; c < chunks; c += LANES) {
    Chunk x = normed(first, gate, c);
#ifdef RESIDUAL
    put_8(first, c, x);
#endif
#ifdef QUANTIZED
    put_narrow(first + c * CHUNK, finished(c, x, s, at), factor);
#else
    put_5(first, c, finished(c, x, s, at));
#endif
  }
}

#endif  // ROW_NORM_GLSL
