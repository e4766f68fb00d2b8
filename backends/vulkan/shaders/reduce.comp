#version 450
// Sum, mean or maximum over some dimensions. The kept dimensions and the reduced ones are each merged
// and walked. Long reductions of few results are cut into parts, which a second run brings together:
// result r of part p goes to p·RESULTS + r.
#include "group_reduce.glsl"
#include "walk.glsl"

layout(constant_id = 19) const bool MAXIMUM = false;
layout(constant_id = 20) const uint KEPT = 1;  // ranks
layout(constant_id = 21) const uint REDUCED = 1;

OPERAND(0)
OPERAND(1)
CHUNK_INPUT(0)
CHUNK_OUTPUT(1)

// In chunks of results where those lie side by side, else of what is reduced.
#define RESULTS param(0)
#define COUNT param(1)  // of a result
#define SPAN param(2)   // of a part
#define PARTS param(3)
#define SCALE uintBitsToFloat(param(4))
// param(5), param(6): RESULTS as a divisor
const uint kKept = 7;

Chunk all(float v) { return Chunk(vec4(v), vec4(v)); }
vec4 combine(vec4 a, vec4 b) {
  if (!MAXIMUM) return a + b;
  return vec4(max_of(a.x, b.x), max_of(a.y, b.y), max_of(a.z, b.z), max_of(a.w, b.w));
}
Chunk combine(Chunk a, Chunk b) {
  if (CHUNK == 1) return all(MAXIMUM ? max_of(a.a.x, b.a.x) : a.a.x + b.a.x);
  return Chunk(combine(a.a, b.a), CHUNK == 8 ? combine(a.b, b.b) : b.b);
}
float over_lanes(float v) { return MAXIMUM ? lane_max(v) : lane_sum(v) * SCALE; }

void main() {
  uint o = result(), base[1] = {0u}, at[1];
  const uint wide = ROWS != 0 ? 1 : CHUNK, step = ROWS != 0 ? CHUNK : 1;
  const bool inside = o < RESULTS * PARTS;
  const Chunk start = all(MAXIMUM ? uintBitsToFloat(0xff800000u) : 0.0);
  Chunk total = start;
  if (inside) {
    const uint part = quotient(o, param(5), param(6));
    WALK_OFFSETS(kKept, KEPT, 1, (o - part * RESULTS) * wide, base)
    const uint end = min(COUNT, (part + 1) * SPAN);
    // Partial results of 32 chunks keep the rounding of long sums small; four loads are under way
    // at once.
    for (uint i = part * SPAN + lane(); i < end;) {
      Chunk some = start;
      for (uint n = 0; n < 8 && i < end; ++n, i += 4 * LANES) {
        Chunk c[4];
        [[unroll]] for (uint k = 0; k < 4; ++k) {
          WALK_OFFSETS(kKept + 4 * KEPT, REDUCED, 1, min(i + k * LANES, end - 1) * step, at)
          c[k] = get_chunk_0(base[0] + at[0]);
        }
        [[unroll]] for (uint k = 0; k < 4; ++k)
          if (i + k * LANES < end) some = combine(some, c[k]);
      }
      total = combine(total, some);
    }
  }
  if (ROWS != 0 || CHUNK == 1) {
    const float one = over_lanes(MAXIMUM ? chunk_max(total) : chunk_sum(total));
    if (inside && lane() == 0) store_1(o, one);
    return;
  }
  float v[8] = values_of(total);
  [[unroll]] for (uint j = 0; j < 8; ++j)
    if (j < CHUNK) v[j] = over_lanes(v[j]);
  if (inside && lane() == 0) put_chunk_1(o * CHUNK, chunk_of(v));
}
