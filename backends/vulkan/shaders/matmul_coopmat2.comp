#version 450
// A tile of BM × BN by a group, as one cooperative matrix of the whole group: the driver decides
// how operands travel (VK_NV_cooperative_matrix2). Rows begin at multiples of 16 bytes: K and N are
// multiples of eight.
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define MATMUL_ONLY
#include "contraction.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) buffer Halves { float16_t v[]; };

#define SUM coopmat<float, gl_ScopeWorkgroup, BM, BN, gl_MatrixUseAccumulator>

// What the compiler cannot know.
uint in_eights(uint v) { return v / 8 * 8; }

#define MULTIPLY(CLAMP)                                                                         \
  {                                                                                             \
    tensorLayoutNV<2, CLAMP> a_layout = createTensorLayoutNV(2, CLAMP);                         \
    tensorLayoutNV<2, CLAMP> b_layout = createTensorLayoutNV(2, CLAMP);                         \
    a_layout = setTensorLayoutDimensionNV(a_layout, M, in_eights(K));                   \
    if (TRANSPOSE_B) b_layout = setTensorLayoutDimensionNV(b_layout, N, in_eights(K));  \
    else b_layout = setTensorLayoutDimensionNV(b_layout, K, in_eights(N));              \
    for (uint k = 0; k < K; k += BK) {                                                          \
      coopmat<float16_t, gl_ScopeWorkgroup, BM, BK, gl_MatrixUseA> ta;                          \
      coopmat<float16_t, gl_ScopeWorkgroup, BK, BN, gl_MatrixUseB> tb;                          \
      coopMatLoadTensorNV(ta, a.v, 0, sliceTensorLayoutNV(a_layout, m0, BM, k, BK));            \
      if (TRANSPOSE_B)                                                                          \
        coopMatLoadTensorNV(tb, b.v, 0, sliceTensorLayoutNV(b_layout, n0, BN, k, BK), turned);  \
      else                                                                                      \
        coopMatLoadTensorNV(tb, b.v, 0, sliceTensorLayoutNV(b_layout, k, BK, n0, BN));          \
      sum = coopMatMulAdd(ta, tb, sum);                                                         \
    }                                                                                           \
  }

float finish_element(const in uint row, const in uint column, const in float v, const in uint n0) {
  Product p;
  p.bias = 0;
  const float r = finish(p, min(n0 + column, N - 1), v);
  return DTYPE_2 == BF16 ? rounded_to_bf16(r) : r;
}

// Tensors in several allocations have no one pointer: an element at a time.
void multiply_scattered(Product p, uint m0, uint n0) {
  for (uint e = gl_LocalInvocationID.x; e < BM * BN; e += gl_WorkGroupSize.x) {
    uint m = m0 + e / BN, n = n0 + e % BN;
    if (m >= M || n >= N) continue;
    float sum = 0;
    for (uint k = 0; k < K; ++k)
      sum = fma(load_0(p.a + m * K + k), load_1(p.b + (TRANSPOSE_B ? n * K + k : k * N + n)), sum);
    store_2(p.c + m * LDC + n, finish(p, n, sum));
  }
}

void main() {
  read_sizes();
  const Product p = product_of(group_id());
  const uint m0 = p.tile_m * BM, n0 = p.tile_n * BN;
  if ((SEGMENTED & 7u) != 0) {
    multiply_scattered(p, m0, n0);
    return;
  }
  Halves a = Halves(at_0(2 * uint64_t(in_eights(p.a))));
  Halves b = Halves(at_1(2 * uint64_t(in_eights(p.b))));
  Halves c = Halves(at_2(2 * uint64_t(in_eights(p.c))));
  tensorViewNV<2, false, 1, 0> turned = createTensorViewNV(2, false, 1, 0);
  SUM sum = SUM(0.0);
  if (m0 + BM <= M && n0 + BN <= N && K % BK == 0)
    MULTIPLY(gl_CooperativeMatrixClampModeUndefinedNV)
  else
    MULTIPLY(gl_CooperativeMatrixClampModeConstantNV)
  if (HAS_BIAS || ACTIVATION != ACT_NONE || DTYPE_2 == BF16) {
    SUM finished;
    coopMatPerElementNV(finished, sum, finish_element, n0);
    sum = finished;
  }
  tensorLayoutNV<2, gl_CooperativeMatrixClampModeConstantNV> c_layout =
      createTensorLayoutNV(2, gl_CooperativeMatrixClampModeConstantNV);
  c_layout = setTensorLayoutDimensionNV(c_layout, M, in_eights(N));
  coopMatStoreTensorNV(coopmat<float16_t, gl_ScopeWorkgroup, BM, BN, gl_MatrixUseAccumulator>(sum),
                       c.v, 0, sliceTensorLayoutNV(c_layout, m0, BM, n0, BN));
}
