#version 450
// Another dtype. To integers: toward zero, saturated, NaN to 0. To bool: x ≠ 0. Chunks where both are
// f32, f16 or bf16.
#include "chunk.glsl"
#include "math.glsl"

OPERAND(0)
OPERAND(1)
CHUNK_INPUT(0)
CHUNK_OUTPUT(1)

#define COUNT param(0)

const bool kFromInteger = DTYPE_0 >= I32 && DTYPE_0 <= BOOL;
const bool kToInteger = DTYPE_1 >= I32 && DTYPE_1 < BOOL;

// As 64 bits, low and high.
uvec2 wide_of(int v) { return uvec2(v, v < 0 ? -1 : 0); }
uvec2 wide_of(float v) {
  uint bits = floatBitsToUint(v), m = bits & 0x7fffffu | 0x800000u;
  int shift = int(bits >> 23 & 255u) - 150;  // v = ±m·2^shift
  if (is_nan(v) || shift < -23) return uvec2(0);
  bool negative = bits >> 31 != 0u;
  if (shift >= 40) return negative ? uvec2(0, 0x80000000u) : uvec2(0xffffffffu, 0x7fffffffu);
  uvec2 r;
  if (shift <= 0) r = uvec2(m >> -shift, 0);
  else if (shift < 32) r = uvec2(m << shift, m >> 32 - shift);
  else r = uvec2(0, m << shift - 32);
  return negative ? uvec2(~r.x + 1u, ~r.y + (r.x == 0u ? 1u : 0u)) : r;
}
int narrow_of(uvec2 v) {
  bool fits = v.y == (int(v.x) < 0 ? 0xffffffffu : 0u);
  return fits ? int(v.x) : int(v.y) < 0 ? int(0x80000000u) : 0x7fffffff;
}

void cast_one(uint i) {
  if (!kToInteger && DTYPE_1 != BOOL) {
    store_1(i, load_0(i));
    return;
  }
  uvec2 v;
  if (DTYPE_0 == I64) v = pair_0(i);
  else if (kFromInteger) v = wide_of(iload_0(i));
  else if (DTYPE_1 == BOOL) v = uvec2(floatBitsToUint(load_0(i)) & 0x7fffffffu, 0);
  else v = wide_of(load_0(i));
  if (DTYPE_1 == BOOL) put_byte_1(i, (v.x | v.y) != 0u ? 1u : 0u);
  else if (DTYPE_1 == I64) put_pair_1(i, v);
  else if (DTYPE_1 == I32) istore_1(i, narrow_of(v));
  else if (DTYPE_1 == I8) istore_1(i, clamp(narrow_of(v), -128, 127));
  else istore_1(i, clamp(narrow_of(v), 0, 255));
}

void main() {
  uint i = global_id() * CHUNK;
  if (i >= COUNT) return;
  if (CHUNK == 1 || COUNT - i < CHUNK) {
    for (uint end = min(i + CHUNK, COUNT); i < end; ++i) cast_one(i);
    return;
  }
  put_chunk_1(i, get_chunk_0(i));
}
