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

#define RESULTS param(0)
#define COUNT param(1)  // chunks of a result
#define SPAN param(2)   // chunks of a part
#define PARTS param(3)
#define SCALE uintBitsToFloat(param(4))
// param(5), param(6): RESULTS as a divisor
const uint kKept = 7;

float start() { return MAXIMUM ? uintBitsToFloat(0xff800000u) : 0.0; }
float combine(float a, float b) { return MAXIMUM ? max_of(a, b) : a + b; }

void main() {
  uint o = result(), base[1] = {0u}, at[1];
  const bool inside = o < RESULTS * PARTS;
  float total = start();
  if (inside) {
    const uint part = quotient(o, param(5), param(6));
    WALK_OFFSETS(kKept, KEPT, 1, o - part * RESULTS, base)
    const uint end = min(COUNT, (part + 1) * SPAN);
    // Partial results of 32 chunks keep the rounding of long sums small.
    for (uint i = part * SPAN + lane(); i < end;) {
      float some = start();
      for (uint n = 0; n < 32 && i < end; ++n, i += LANES) {
        WALK_OFFSETS(kKept + 4 * KEPT, REDUCED, 1, i * CHUNK, at)
        Chunk c = get_chunk_0(base[0] + at[0]);
        some = combine(some, MAXIMUM ? chunk_max(c) : chunk_sum(c));
      }
      total = combine(total, some);
    }
  }
  total = MAXIMUM ? lane_max(total) : lane_sum(total);
  if (inside && lane() == 0) store_1(o, MAXIMUM ? total : total * SCALE);
}
