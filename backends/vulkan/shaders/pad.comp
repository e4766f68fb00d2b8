#version 450
// Constant, replicated or reflected elements around x. Units of SIZE bytes.
#include "tensor.glsl"
#include "walk.glsl"

layout(constant_id = 16) const uint RANK = 1;
layout(constant_id = 17) const uint SIZE = 4;
layout(constant_id = 18) const uint MODE = 0;  // constant, replicate, reflect

OPERAND(0)
OPERAND(1)

#define COUNT param(0)
#define VALUE uvec2(param(1), param(2))
// Each dimension: extent of the output, that as a divisor, elements before, extent of the input.
const uint kDims = 3, kNumbers = 5;

void main() {
  uint i = global_id();
  if (i >= COUNT) return;
  uint rest = i, from = 0, stride = 1;
  bool inside = true;
  for (uint d = RANK; d-- > 0;) {
    uint first = kDims + d * kNumbers, size = param(first + 4), position = rest;
    rest = quotient(rest, param(first + 1), param(first + 2));
    position -= rest * param(first);
    int at = int(position) - int(param(first + 3));
    if (MODE == 0) inside = inside && at >= 0 && at < int(size);
    if (MODE == 1) at = clamp(at, 0, int(size) - 1);
    if (MODE == 2) at = at < 0 ? -at : at >= int(size) ? 2 * (int(size) - 1) - at : at;
    from += uint(at) * stride;
    stride *= size;
  }
  if (SIZE == 1) put_byte_1(i, inside ? byte_0(from) : VALUE.x & 0xffu);
  if (SIZE == 2) put_half_1(i, inside ? half_0(from) : VALUE.x & 0xffffu);
  if (SIZE == 4) put_word_1(i, inside ? word_0(from) : VALUE.x);
  if (SIZE == 8) put_pair_1(i, inside ? pair_0(from) : VALUE);
  if (SIZE == 16) put_quad_1(i, inside ? quad_0(from) : VALUE.xyxy);
}
