// Walks over dimensions merged on the host (walk.h): from a row-major index to each operand's offset.
#ifndef WALK_GLSL
#define WALK_GLSL

// n / d for any n, with the multiplier and shift that divisor() in walk.h gives for d.
uint quotient(uint n, uint multiplier, uint shift) {
  uint high, low;
  umulExtended(n, multiplier, high, low);
  return shift == 0 ? n : high + (n - high >> 1) >> shift - 1;
}

// From param(FIRST), dimension by dimension: its extent, that as a divisor, a stride for each of COUNT
// operands. The first dimension takes what is left.
#define WALK_OFFSETS(FIRST, RANK, COUNT, INDEX, OFFSETS)                           \
  {                                                                                \
    uint rest = INDEX;                                                             \
    [[unroll]] for (uint k = 0; k < COUNT; ++k) OFFSETS[k] = 0;                    \
    for (uint d = RANK; d-- > 0;) {                                                \
      uint at_dim = FIRST + d * (3 + COUNT), position = rest;                      \
      if (d > 0) {                                                                 \
        rest = quotient(rest, param(at_dim + 1), param(at_dim + 2));               \
        position -= rest * param(at_dim);                                          \
      }                                                                            \
      [[unroll]] for (uint k = 0; k < COUNT; ++k)                                  \
        OFFSETS[k] += position * param(at_dim + 3 + k);                            \
    }                                                                              \
  }

#endif  // WALK_GLSL
