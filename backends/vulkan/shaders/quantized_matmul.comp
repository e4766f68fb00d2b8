#version 450
// quantized_matmul on any device.
int dot4(int a, int b, int c) {
  ivec4 shift = ivec4(24, 16, 8, 0);
  ivec4 p = (ivec4(a) << shift >> 24) * (ivec4(b) << shift >> 24);
  return c + (p.x + p.y) + (p.z + p.w);
}
#define DOT(A, B, C) dot4(A, B, C)
#include "quantized_tiled.glsl"
