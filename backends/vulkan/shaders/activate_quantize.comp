#version 450
// activation(a), or activation(a)·b, as rows of 8-bit numbers with one factor each.
#define MOST_KEPT 8
#include "rows.glsl"
#include "activation.glsl"

layout(constant_id = 20) const uint ACTIVATION = 0;
layout(constant_id = 21) const bool INTEGER = true;  // i8; else f8e4m3
layout(constant_id = 22) const bool GATED = false;

ROW_OPERAND(0)  // a
ROW_OPERAND(1)  // b
OPERAND(2)      // q
OPERAND(3)      // scale

#define NARROW (DTYPE_0 != F32)
#include "math.glsl"
#include "narrow_rows.glsl"
NARROW_ROWS(2, 3)

#define ROWS param(0)
#define WIDTH param(1)

float activated(float x) {
  if (NARROW && ACTIVATION != ACT_RELU) return activate(ACTIVATION, x);  // its relu may lose NaN
  switch (ACTIVATION) {
    case ACT_SILU: return silu_of(x);
    case ACT_GELU_TANH: return gelu_tanh_of(x);
    case ACT_GELU: return gelu_of(x);
    case ACT_RELU: return is_nan(x) || floatBitsToInt(x) > 0 ? x : 0.0;
    case ACT_SIGMOID: return sigmoid_of(x);
    default: return x;
  }
}

Chunk get_activated(uint first, uint c) {
  const Chunk a = get_0(first, 1, c);
  float v[8] = values_of(a);
  [[unroll]] for (uint i = 0; i < CHUNK; ++i) v[i] = activated(v[i]);
  const Chunk x = chunk_of(v);
  if (!GATED) return x;
  const Chunk b = get_1(first, 1, c);
  return Chunk(x.a * b.a, x.b * b.b);
}

void main() {
  const uint lane = lane_id(), rows = ROWS, width = WIDTH, chunks = width / CHUNK;
  const bool exists = row_id() < rows;
  const uint row = min(row_id(), rows - 1), first = row * width;
  uint most = 0;
  if (KEEP > 0) {
    Chunk kept[MOST_KEPT];
    EACH_KEPT(i) kept[i] = get_activated(first, kept_chunk(lane, i, chunks));
    EACH_KEPT(i) most = max(most, magnitude(kept[i]));
    const float factor = row_factor(most, exists && lane == 0, row);
    if (!exists) return;
    EACH_KEPT(i) {
      if (is_kept(lane, i, chunks)) put_narrow(first + (lane + i * LANES) * CHUNK, kept[i], factor);
    }
    return;
  }
  for (uint c = lane; c < chunks; c += LANES) most = max(most, magnitude(get_activated(first, c)));
  const float factor = row_factor(most, exists && lane == 0, row);
  if (!exists) return;
  for (uint c = lane; c < chunks; c += LANES)
    put_narrow(first + c * CHUNK, get_activated(first, c), factor);
}
