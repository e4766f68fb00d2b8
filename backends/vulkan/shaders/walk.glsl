// Walks over dimensions merged on the host (walk.h): from a row-major index to each operand's offset.
// Parameters from WALK: the extents of RANK dimensions, then the strides of operand 0, of operand 1, ...
#ifndef WALK_GLSL
#define WALK_GLSL

layout(constant_id = 16) const uint RANK = 1;

uint walk_extent(uint first, uint d) { return param(first + d); }
uint walk_stride(uint first, uint k, uint d) { return param(first + (1 + k) * RANK + d); }

#define WALK_OFFSETS(FIRST, COUNT, INDEX, OFFSETS)                                 \
  {                                                                                \
    uint rest = INDEX;                                                             \
    [[unroll]] for (uint k = 0; k < COUNT; ++k) OFFSETS[k] = 0;                    \
    for (int d = int(RANK) - 1; d >= 0; --d) {                                     \
      uint position = rest;                                                              \
      if (d > 0) {                                                                 \
        uint extent = walk_extent(FIRST, uint(d));                                 \
        rest /= extent;                                                            \
        position -= rest * extent;                                                       \
      }                                                                            \
      [[unroll]] for (uint k = 0; k < COUNT; ++k)                                  \
        OFFSETS[k] += position * walk_stride(FIRST, k, uint(d));                         \
    }                                                                              \
  }

#endif  // WALK_GLSL
