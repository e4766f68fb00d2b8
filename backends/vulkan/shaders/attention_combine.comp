#version 450
// Brings the parts of attention together: each weighs as much as its keys' sum.
#include "attention.glsl"

OPERAND(0)  // [part, B, N, H, E]
OPERAND(1)  // maximum and sum [part, B, N, H]
OPERAND(2)  // output

void main() {
  const uint i = global_id(), rows = ALL_ROWS, width = VALUE_DIM, parts = PARTS;
  if (i >= rows * width) return;
  const uint row = i / width;
  float most = -kMost;
  for (uint p = 0; p < parts; ++p) most = max(most, uintBitsToFloat(pair_1(p * rows + row).x));
  float sum = 0, value = 0;
  for (uint p = 0; p < parts; ++p) {
    vec2 part = uintBitsToFloat(pair_1(p * rows + row));
    float weight = exp(part.x - most);
    sum += part.y * weight;
    value += uintBitsToFloat(word_0(p * rows * width + i)) * weight;
  }
  store_2(i, sum == 0 ? 0.0 : value / sum);
}
