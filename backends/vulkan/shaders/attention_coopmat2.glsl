// Attention of f16 on cooperative matrices of VK_NV_cooperative_matrix2: scores and sums are one
// matrix each, reduced and changed element by element where they are. The including shader says
// whose matrices they are (SCOPE) and whether tensors can be addressed (TENSORS); without, and for
// tensors in several allocations, elements are loaded one by one.
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "attention.glsl"

layout(constant_id = 16) const uint DIM = 128;     // of q and k
layout(constant_id = 17) const uint VALUES = 128;  // of v
layout(constant_id = 18) const bool CAUSAL = false;
layout(constant_id = 19) const bool HAS_LENGTHS = false;
layout(constant_id = 20) const bool HAS_MASK = false;
layout(constant_id = 21) const bool IN_PARTS = false;
layout(constant_id = 22) const uint BM = 128;  // rows of a group
layout(constant_id = 23) const uint BK = 64;   // keys at a time

OPERAND(0)  // q [B, N, H, D]
OPERAND(1)  // k [B, M, H, D]
OPERAND(2)  // v [B, M, H, E]
OPERAND(3)  // key_lengths [B]
OPERAND(4)  // mask
OPERAND(5)  // output [B, N, H, E], or [part, B, N, H, E] not yet divided by the sums
OPERAND(6)  // maximum and sum [part, B, N, H]

#define SCORES coopmat<float, SCOPE, BM, BK, gl_MatrixUseAccumulator>
#define SUMS coopmat<float, SCOPE, BM, VALUES, gl_MatrixUseAccumulator>

float16_t half_at_0(uint i) { return unpackFloat2x16(half_0(i)).x; }
float16_t half_at_1(uint i) { return unpackFloat2x16(half_1(i)).x; }
float16_t half_at_2(uint i) { return unpackFloat2x16(half_2(i)).x; }

// Elements of matrices; `first` is the matrix's first row in memory, rows at and beyond `count` are
// zeros.
float16_t q_element(const in uint r, const in uint c, const in float16_t v, const in uint first,
                    const in uint count) {
  if (r >= count) return float16_t(0);
  return half_at_0((first + r * HEADS) * DIM + c);
}
float16_t k_element(const in uint c, const in uint r, const in float16_t v, const in uint first,
                    const in uint count) {
  if (r >= count) return float16_t(0);
  return half_at_1((first + r * KEY_HEADS) * DIM + c);
}
float16_t v_element(const in uint r, const in uint c, const in float16_t v, const in uint first,
                    const in uint count) {
  if (r >= count) return float16_t(0);
  return half_at_2((first + r * KEY_HEADS) * VALUES + c);
}

float score_element(const in uint r, const in uint c, const in float s, const in uint batch,
                    const in uint head, const in uint first_row, const in uint key,
                    const in uint keys) {
  const Block block = Block(batch, head, 0, 0, 0, 0);
  const uint row = min(first_row + r, ROWS - 1);
  if (key + c >= visible_keys(row, keys, CAUSAL)) return kHidden;
  return HAS_MASK ? s + load_4(mask_at(block, row, key + c)) : s;
}
float largest(const in float a, const in float b) { return max(a, b); }
float added(const in float a, const in float b) { return a + b; }
float either(const in float a, const in float b) { return a; }
float larger(const in uint r, const in uint c, const in float a, const in float b) {
  return max(a, b);
}
float power(const in uint r, const in uint c, const in float v, const in float most) {
  return exp(v - most);
}
float seen_power(const in uint r, const in uint c, const in float s, const in float most) {
  return is_hidden(s) ? 0.0 : exp(s - most);
}
float inverse(const in uint r, const in uint c, const in float v) { return v == 0 ? 0.0 : 1.0 / v; }

float store_element(const in uint r, const in uint c, const in float v, const in uint first,
                    const in uint count) {
  if (r < count) store_5((first + r * HEADS) * VALUES + c, v);
  return v;
}
float store_sums(const in uint r, const in uint c, const in float most, const in float sum,
                 const in uint first, const in uint count) {
  if (c == 0 && r < count) put_pair_6(first + r * HEADS, floatBitsToUint(vec2(most, sum)));
  return most;
}

#ifdef TENSORS
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Halves { float16_t v[]; };
#define ROWS_OF(CLAMP, COUNT, WIDTH, STRIDE)                                         \
  setTensorLayoutStrideNV(                                                           \
      setTensorLayoutDimensionNV(createTensorLayoutNV(2, CLAMP), COUNT, WIDTH), STRIDE, 1)
const uint kZeros = gl_CooperativeMatrixClampModeConstantNV;
const uint kInside = gl_CooperativeMatrixClampModeUndefinedNV;
#endif

void main() {
  const Block block = block_of(group_id(), BM, VALUES);
  const uint keys = HAS_LENGTHS ? uint(clamp(iload_3(block.batch), 0, int(KEYS))) : KEYS;
  const uint count = min(BM, ROWS - block.row);  // rows that exist
  const uint last = visible_keys(block.row + count - 1, keys, CAUSAL);
  const uint end = min(last, block.key + SPAN), all_see = visible_keys(block.row, keys, CAUSAL);
  const uint first_query = query_row(block, block.row), first_key = key_row(block, 0);

  coopmat<float16_t, SCOPE, BM, DIM, gl_MatrixUseA> q;
#ifdef TENSORS
  const bool tensors = (SEGMENTED & 7u) == 0;
  const tensorViewNV<2, false, 1, 0> turned = createTensorViewNV(2, false, 1, 0);
  // Heads are multiples of eight elements wide, and 16 bytes are what the addresses divide by.
  Halves q_memory = Halves(at_0(uint64_t(first_query * (DIM / 8)) * 16));
  Halves k_memory = Halves(at_1(uint64_t(first_key * (DIM / 8)) * 16));
  Halves v_memory = Halves(at_2(uint64_t(first_key * (VALUES / 8)) * 16));
  if (tensors) {
    coopMatLoadTensorNV(q, q_memory.v, 0,
                        sliceTensorLayoutNV(ROWS_OF(kZeros, count, DIM, HEADS * DIM), 0, BM, 0, DIM));
  } else
#endif
    coopMatPerElementNV(q, q, q_element, first_query, count);

  SUMS result = SUMS(0.0);
  SCORES most = SCORES(-kMost), sums = SCORES(0.0);  // sums: of each row, not yet of its elements
  for (uint key = block.key; key < end; key += BK) {
    coopmat<float16_t, SCOPE, DIM, BK, gl_MatrixUseB> k;
    coopmat<float16_t, SCOPE, BK, VALUES, gl_MatrixUseB> v;
    const uint present = min(keys, end);
#ifdef TENSORS
    if (tensors) {
      if (key + BK <= present) {
        coopMatLoadTensorNV(k, k_memory.v, 0,
                            sliceTensorLayoutNV(ROWS_OF(kInside, present, DIM, KEY_HEADS * DIM), key,
                                                BK, 0, DIM), turned);
        coopMatLoadTensorNV(v, v_memory.v, 0,
                            sliceTensorLayoutNV(ROWS_OF(kInside, present, VALUES, KEY_HEADS * VALUES),
                                                key, BK, 0, VALUES));
      } else {
        coopMatLoadTensorNV(k, k_memory.v, 0,
                            sliceTensorLayoutNV(ROWS_OF(kZeros, present, DIM, KEY_HEADS * DIM), key,
                                                BK, 0, DIM), turned);
        coopMatLoadTensorNV(v, v_memory.v, 0,
                            sliceTensorLayoutNV(ROWS_OF(kZeros, present, VALUES, KEY_HEADS * VALUES),
                                                key, BK, 0, VALUES));
      }
    } else
#endif
    {
      coopMatPerElementNV(k, k, k_element, first_key + key * KEY_HEADS, present - min(key, present));
      coopMatPerElementNV(v, v, v_element, first_key + key * KEY_HEADS, present - min(key, present));
    }
    SCORES s = coopMatMulAdd(q, k, SCORES(0.0)) * SCALE;
    const bool some_hidden = HAS_MASK || key + BK > all_see;
    if (some_hidden) {
      SCORES seen;
      coopMatPerElementNV(seen, s, score_element, block.batch, block.key_head, block.row, key, keys);
      s = seen;
    }
    SCORES now, p, shrink;
    coopMatReduceNV(now, s, gl_CooperativeMatrixReduceRowNV, largest);
    coopMatPerElementNV(now, now, larger, most);
    coopMatPerElementNV(shrink, most, power, now);
    most = now;
    if (some_hidden) coopMatPerElementNV(p, s, seen_power, now);
    else coopMatPerElementNV(p, s, power, now);
    sums = sums * shrink + p;
    SUMS wide;  // the factor of each row, as wide as the result
    coopMatReduceNV(wide, shrink, gl_CooperativeMatrixReduceRowNV, either);
    result = result * wide;
    result = coopMatMulAdd(coopmat<float16_t, SCOPE, BM, BK, gl_MatrixUseA>(p), v, result);
  }

  SCORES sum;
  coopMatReduceNV(sum, sums, gl_CooperativeMatrixReduceRowNV, added);
  if (IN_PARTS) {
    const uint to = block.part * ALL_ROWS + first_query;
    coopMatPerElementNV(most, most, store_sums, sum, to, count);
    coopMatPerElementNV(result, result, store_element, to, count);
    return;
  }
  SUMS factor;
  coopMatPerElementNV(sum, sum, inverse);
  coopMatReduceNV(factor, sum, gl_CooperativeMatrixReduceRowNV, either);
  result = result * factor;
#ifdef TENSORS
  if ((SEGMENTED & 32u) == 0) {
    Halves out_memory = Halves(at_5(uint64_t(first_query * (VALUES / 8)) * 16));
    coopMatStoreTensorNV(
        coopmat<float16_t, SCOPE, BM, VALUES, gl_MatrixUseAccumulator>(result), out_memory.v, 0,
        sliceTensorLayoutNV(ROWS_OF(kZeros, count, VALUES, HEADS * VALUES), 0, BM, 0, VALUES));
    return;
  }
#endif
  coopMatPerElementNV(result, result, store_element, first_query, count);
}
