#version 450
// A convolution with few filters a group (depthwise): an output element an invocation.
#include "contraction.glsl"

void main() {
  read_sizes();
  uint i = global_id();
  if (i >= M * LDC) return;
  uint m = i / LDC, o = i - m * LDC, group = o / N;
  Product p;
  p.a = group * GROUP_CHANNELS;
  p.b = o * K;
  p.bias = 0;
  uvec4 row = row_of(p, m);
  float sum = 0;
  for (uint k = 0; k < K; k += GROUP_CHANNELS) {
    uint at = element_of_a(p, row, column_at(k));
    if (at == kNowhere) continue;
    for (uint c = 0; c < GROUP_CHANNELS; ++c) sum = fma(load_0(at + c), load_1(p.b + k + c), sum);
  }
  store_2(i, finish(p, o, sum));
}
