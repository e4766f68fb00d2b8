// Eight elements that an invocation holds of a cooperative matrix of f16 (or bf16: bfloat16.h), as 16
// bytes: the order in which weights, keys and values are kept (Capabilities::packs). With constant
// indices the H100's driver makes no instructions of either.
#ifndef PACKED_GLSL
#define PACKED_GLSL

#define QUAD_OF_MATRIX(M)                                                                    \
  uvec4(packFloat2x16(f16vec2(M[0], M[1])), packFloat2x16(f16vec2(M[2], M[3])),              \
        packFloat2x16(f16vec2(M[4], M[5])), packFloat2x16(f16vec2(M[6], M[7])))

#define MATRIX_FROM_QUAD(M, QUAD)                                                            \
  {                                                                                          \
    const uvec4 quad = QUAD;                                                                 \
    const f16vec2 e0 = unpackFloat2x16(quad.x), e2 = unpackFloat2x16(quad.y);                \
    const f16vec2 e4 = unpackFloat2x16(quad.z), e6 = unpackFloat2x16(quad.w);                \
    M[0] = e0.x, M[1] = e0.y, M[2] = e2.x, M[3] = e2.y;                                      \
    M[4] = e4.x, M[5] = e4.y, M[6] = e6.x, M[7] = e6.y;                                      \
  }

#endif  // PACKED_GLSL
