#version 450
// Softmax of the last axis, where lanes hold their rows. The output may be the input.
#include "rows.glsl"

ROW_OPERAND(0)
ROW_OUTPUT(1)

#define NARROW (DTYPE_1 != F32)
#include "math.glsl"

#define ROWS param(0)
#define WIDTH param(1)

float max_of(float a, float b) { return is_nan(a) ? a : is_nan(b) ? b : a > b ? a : b; }
ROW_COMBINATION(row_max, float, ROW_PART_X, max_of)

float chunk_max(Chunk c) {
  if (CHUNK == 1) return c.a.x;
  float m = max_of(max_of(c.a.x, c.a.y), max_of(c.a.z, c.a.w));
  return CHUNK == 4 ? m : max_of(m, max_of(max_of(c.b.x, c.b.y), max_of(c.b.z, c.b.w)));
}

vec4 shifted(vec4 v, float most) {
  v -= most;
  return vec4(exp_of(v.x), exp_of(v.y), exp_of(v.z), exp_of(v.w));
}

void main() {
  const uint lane = lane_id(), rows = ROWS, chunks = WIDTH / CHUNK;
  const bool exists = row_id() < rows;
  const uint first = min(row_id(), rows - 1) * WIDTH;
  Chunk kept[MOST_KEPT];
  EACH_KEPT(i) kept[i] = get_0(first, 1, kept_chunk(lane, i, chunks));
  float most = chunk_max(kept[0]);  // of what a lane reads twice, too
  EACH_KEPT(i) most = max_of(most, chunk_max(kept[i]));
  most = row_max(most);
  float sum = 0;
  EACH_KEPT(i) {
    kept[i].a = shifted(kept[i].a, most);
    if (CHUNK == 8) kept[i].b = shifted(kept[i].b, most);
    sum += is_kept(lane, i, chunks) ? chunk_sum(kept[i]) : 0;
  }
  const float factor = 1.0 / row_sum(sum);
  if (!exists) return;
  EACH_KEPT(i) {
    if (is_kept(lane, i, chunks))
      put_1(first, lane + i * LANES, Chunk(kept[i].a * factor, kept[i].b * factor));
  }
}
