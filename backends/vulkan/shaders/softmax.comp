#version 450
// Softmax of columns of COUNT chunks, INNER elements apart. The output may be the input.
#include "group_reduce.glsl"
#include "walk.glsl"

OPERAND(0)
OPERAND(1)
CHUNK_INPUT(0)
CHUNK_OUTPUT(1)

#define COLUMNS param(0)
#define COUNT param(1)
#define INNER param(2)  // 1 where CHUNK is not
// param(3), param(4): INNER as a divisor

// exp(x − most); of elements beyond the chunk nothing is used.
Chunk shifted(Chunk c, float most) {
  float v[8] = values_of(c);
  [[unroll]] for (uint j = 0; j < CHUNK; ++j) v[j] = exp_of(v[j] - most);
  return chunk_of(v);
}

void main() {
  const uint column = result(), row = quotient(column, param(3), param(4)), step = INNER * CHUNK;
  const uint base = row * COUNT * step + (column - row * INNER);
  const uint count = column < COLUMNS ? COUNT : 0;
  float most = uintBitsToFloat(0xff800000u);
  for (uint i = lane(); i < count; i += LANES)
    most = max_of(most, chunk_max(get_chunk_0(base + i * step)));
  most = lane_max(most);
  float sum = 0.0;
  for (uint i = lane(); i < count;) {
    float some = 0.0;  // of 32 chunks: the rounding of long sums stays small
    for (uint n = 0; n < 32 && i < count; ++n, i += LANES)
      some += chunk_sum(shifted(get_chunk_0(base + i * step), most));
    sum += some;
  }
  sum = lane_sum(sum);
  for (uint i = lane(); i < count; i += LANES) {
    Chunk c = shifted(get_chunk_0(base + i * step), most);
    put_chunk_1(base + i * step, Chunk(c.a / sum, c.b / sum));
  }
}
