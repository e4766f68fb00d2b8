// Matrices of i8 whose depth is a multiple of 16: sixteen bytes are moved at once.
#define UNIT uvec4
#define UNIT_BYTES 16
#define READ_UNIT_0(I) quad_0(I)
#define READ_UNIT_2(I) quad_2(I)
#define FOUR_INTS(FIRST, C) ivec4(pool[(FIRST) + (C)])
uvec4 with_byte(uvec4 v, uint i, uint b) {
  return v | mix(uvec4(0), uvec4(b << 8 * (i & 3u)), equal(uvec4(i >> 2), uvec4(0, 1, 2, 3)));
}
