#version 450
// x [B, spatial..., C] linearly interpolated, a chunk of channels an invocation. Positions are
// fractions of whole numbers, so that they are exact at any size.
#include "chunk.glsl"
#include "walk.glsl"

layout(constant_id = 17) const uint SPATIAL = 1;  // 1 to 4
layout(constant_id = 18) const uint ALIGN_CORNERS = 0;

OPERAND(0)
OPERAND(1)
CHUNK_INPUT(0)
CHUNK_OUTPUT(1)

#define COUNT param(0)
#define CHANNELS param(1)  // in chunks
// param(2), param(3): CHANNELS as a divisor. Then each spatial dimension: size of the output, that as a
// divisor, size of the input, the denominator of positions, that as a divisor.
const uint kDims = 4, kNumbers = 7;

void main() {
  uint i = global_id();
  if (i >= COUNT) return;
  uint rest = quotient(i, param(2), param(3)), c = i - rest * CHANNELS;
  uint low[4], high[4];
  float fraction[4];
  uint stride = CHANNELS;
  for (uint d = SPATIAL; d-- > 0;) {
    uint first = kDims + d * kNumbers, to = param(first), from = param(first + 3), at = rest;
    rest = quotient(rest, param(first + 1), param(first + 2));
    at -= rest * to;
    uint top, bottom = param(first + 4);
    if (ALIGN_CORNERS != 0) {
      top = to > 1 ? at * (from - 1) : 0;
    } else {
      top = (2 * at + 1) * from;
      top = top > to ? top - to : 0;
    }
    uint l = min(quotient(top, param(first + 5), param(first + 6)), from - 1);
    fraction[d] = float(top - l * bottom) / float(bottom);
    low[d] = l * stride;
    high[d] = min(l + 1, from - 1) * stride;
    stride *= from;
  }
  uint base = rest * stride + c;
  Chunk sum = Chunk(vec4(0), vec4(0));
  for (uint corner = 0; corner < 1u << SPATIAL; ++corner) {
    float weight = 1.0;
    uint at = base;
    for (uint d = 0; d < SPATIAL; ++d) {
      bool up = (corner >> d & 1u) != 0;
      weight *= up ? fraction[d] : 1.0 - fraction[d];
      at += up ? high[d] : low[d];
    }
    Chunk x = get_chunk_0(at * CHUNK);
    sum.a += weight * x.a;
    if (CHUNK == 8) sum.b += weight * x.b;
  }
  put_chunk_1(i * CHUNK, sum);
}
