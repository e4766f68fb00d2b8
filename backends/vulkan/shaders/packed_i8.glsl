// What an invocation holds of a cooperative matrix of i8 as one UNIT, four elements a word: the order in
// which weights are kept (Capabilities::packs). See packed.glsl.
#ifndef PACKED_I8_GLSL
#define PACKED_I8_GLSL

#define WORD_OF_MATRIX(M, I) uint(pack32(i8vec4(M[I], M[I + 1], M[I + 2], M[I + 3])))
// By shifts: NVIDIA's compiler makes three of them and three PRMT, and of unpack8() signs besides (540 to 595
// instead of 456 to 488 TFLOP/s in tiles of 64x256 on an H200). Of the word of a matrix it makes nothing.
#define WORD_TO_MATRIX(M, I, WORD)                                            \
  {                                                                           \
    const int word = int(WORD);                                               \
    M[I] = int8_t(word), M[I + 1] = int8_t(word >> 8);                        \
    M[I + 2] = int8_t(word >> 16), M[I + 3] = int8_t(word >> 24);             \
  }

#if UNIT_BYTES == 16
#define UNIT_OF_MATRIX(M) \
  uvec4(WORD_OF_MATRIX(M, 0), WORD_OF_MATRIX(M, 4), WORD_OF_MATRIX(M, 8), WORD_OF_MATRIX(M, 12))
#define MATRIX_FROM_UNIT(M, FROM)                                             \
  {                                                                           \
    const uvec4 unit = FROM;                                                  \
    WORD_TO_MATRIX(M, 0, unit.x) WORD_TO_MATRIX(M, 4, unit.y)                 \
    WORD_TO_MATRIX(M, 8, unit.z) WORD_TO_MATRIX(M, 12, unit.w)                \
  }
#define UNIT_AT(ADDRESS) Quad(ADDRESS).v
#define PUT_UNIT_1(I, V) put_quad_1(I, V)
#else
#define UNIT_OF_MATRIX(M) uvec2(WORD_OF_MATRIX(M, 0), WORD_OF_MATRIX(M, 4))
#define MATRIX_FROM_UNIT(M, FROM)                                             \
  {                                                                           \
    const uvec2 unit = FROM;                                                  \
    WORD_TO_MATRIX(M, 0, unit.x) WORD_TO_MATRIX(M, 4, unit.y)                 \
  }
#define UNIT_AT(ADDRESS) Pair(ADDRESS).v
#define PUT_UNIT_1(I, V) put_pair_1(I, V)
#endif

#endif  // PACKED_I8_GLSL
