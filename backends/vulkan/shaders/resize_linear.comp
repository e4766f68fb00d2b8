#version 450
// x [B, spatial..., C] linearly interpolated. Positions are fractions of whole numbers, so that they
// are exact at any size.
#include "tensor.glsl"

layout(constant_id = 16) const uint SPATIAL = 1;  // 1 to 4
layout(constant_id = 17) const uint ALIGN_CORNERS = 0;

OPERAND(0)
OPERAND(1)

#define COUNT param(0)
#define CHANNELS param(1)
const uint kSizes = 2;  // of the output, then of the input

void main() {
  uint i = global_id();
  if (i >= COUNT) return;
  uint rest = i / CHANNELS, c = i - rest * CHANNELS;
  uint low[4], high[4];
  float fraction[4];
  uint stride = CHANNELS;
  for (int d = int(SPATIAL) - 1; d >= 0; --d) {
    uint to = param(kSizes + uint(d)), from = param(kSizes + SPATIAL + uint(d));
    uint at = rest % to;
    rest /= to;
    uint top = 0, bottom = 1;
    if (ALIGN_CORNERS != 0) {
      if (to > 1) { top = at * (from - 1); bottom = to - 1; }
    } else {
      top = (2 * at + 1) * from;
      top = top > to ? top - to : 0;
      bottom = 2 * to;
    }
    uint l = min(top / bottom, from - 1);
    fraction[d] = float(top - l * bottom) / float(bottom);
    low[d] = l * stride;
    high[d] = min(l + 1, from - 1) * stride;
    stride *= from;
  }
  uint base = rest * stride + c;
  float sum = 0.0;
  for (uint corner = 0; corner < 1u << SPATIAL; ++corner) {
    float weight = 1.0;
    uint at = base;
    for (uint d = 0; d < SPATIAL; ++d) {
      bool up = (corner >> d & 1u) != 0;
      weight *= up ? fraction[d] : 1.0 - fraction[d];
      at += up ? high[d] : low[d];
    }
    sum += weight * load_0(at);
  }
  store_1(i, sum);
}
