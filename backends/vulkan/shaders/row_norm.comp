#version 450
// rms_norm, layer_norm and norm_modulate: one row of the last axis after the other,
// norm(x)·weight + bias, then ·(1 + scale) + shift.
#include "rows.glsl"

layout(constant_id = 20) const bool RMS = false;
layout(constant_id = 21) const bool HAS_WEIGHT = false;
layout(constant_id = 22) const bool HAS_BIAS = false;
// 0: absent; 1: one for each element of a row; 2: one for the row.
layout(constant_id = 23) const uint SCALE = 0;
layout(constant_id = 24) const uint SHIFT = 0;

ROW_OPERAND(0)  // x
ROW_OPERAND(1)  // weight
ROW_OPERAND(2)  // bias
ROW_OPERAND(3)  // scale
ROW_OPERAND(4)  // shift
ROW_OUTPUT(5)

#define ROWS param(0)
#define WIDTH param(1)
#define EPSILON uintBitsToFloat(param(2))
// 3: broadcast_row() of scale and shift

Chunk kept[KEEP > 0 ? KEEP : 1];

void main() {
  const uint lane = lane_id(), rows = ROWS, width = WIDTH, chunks = width / CHUNK;
  const uint rounds = KEEP > 0 ? KEEP : (chunks + LANES - 1) / LANES;
  const bool exists = row_id() < rows;
  const uint row = min(row_id(), rows - 1), first = row * width;

  float mean = 0, rest = 0, sum = 0;
  for (uint i = 0; i < rounds; ++i) {
    uint c = lane + i * LANES;
    if (c >= chunks) continue;
    Chunk x = get_0(first, 1, c);
    if (KEEP > 0) kept[i] = x;
    sum += RMS ? chunk_squares(x) : chunk_sum(x);
  }
  float variance = row_sum(vec2(sum, 0)).x / float(width);
  if (!RMS) {
    // Far from zero the mean is rounded; what it is off by comes from the distances to it.
    mean = variance;
    vec2 sums = vec2(0);
    for (uint i = 0; i < rounds; ++i) {
      uint c = lane + i * LANES;
      if (c >= chunks) continue;
      Chunk x;
      if (KEEP > 0) x = kept[i];
      else x = get_0(first, 1, c);
      x = chunk_minus(x, mean);
      sums += vec2(chunk_sum(x), chunk_squares(x));
    }
    sums = row_sum(sums) / float(width);
    rest = sums.x;
    variance = sums.y - rest * rest;
  }
  const float factor = 1.0 / sqrt(variance + EPSILON);

  const uvec2 at = broadcast_row(row, 3);
  for (uint i = 0; i < rounds; ++i) {
    uint c = lane + i * LANES;
    if (c >= chunks || !exists) continue;
    Chunk x;
    if (KEEP > 0) x = kept[i];
    else x = get_0(first, 1, c);
    x = Chunk((x.a - mean - rest) * factor, (x.b - mean - rest) * factor);
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
    put_5(first, c, x);
  }
}
