// Matrices of i8 whose depth is an odd multiple of 8.
#define UNIT uvec2
#define UNIT_BYTES 8
#define READ_UNIT_0(I) pair_0(I)
#define READ_UNIT_2(I) pair_2(I)
#define FOUR_INTS(FIRST, C) ivec4(pool[(FIRST) + 2 * (C)], pool[(FIRST) + 2 * (C) + 1])
uvec2 with_byte(uvec2 v, uint i, uint b) {
  return v | mix(uvec2(0), uvec2(b << 8 * (i & 3u)), equal(uvec2(i >> 2), uvec2(0, 1)));
}
