// Rows as 8-bit numbers with one factor each, the end of kernels that make or read rows. Divisions are
// exact, so that the numbers are the same on every device. Includers declare INTEGER: i8, else f8e4m3.
#ifndef NARROW_ROWS_GLSL
#define NARROW_ROWS_GLSL

#include "rows.glsl"

ROW_COMBINATION(row_max, float, ROW_PART_X, max)

bool is_infinite(float most) { return floatBitsToUint(most) >= 0x7f800000u; }

// Bits of absolute values, in whose order infinity and NaN come last: compilers may assume that there
// is no NaN.
uint magnitude(vec4 v) {
  const uvec4 bits = floatBitsToUint(v) & 0x7fffffffu;
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}
uint magnitude(Chunk c) {
  if (CHUNK == 1) return floatBitsToUint(c.a.x) & 0x7fffffffu;
  return CHUNK == 8 ? max(magnitude(c.a), magnitude(c.b)) : magnitude(c.a);
}
// The largest magnitude of a row; infinity where a number is none.
float most_of_row(uint magnitude) {
  return row_max(uintBitsToFloat(min(magnitude, 0x7f800000u)));
}

// a / b rounded to nearest even; a, b and the quotient are positive and normal. The device's own
// division may be some units off: what is left of the mantissas says by how much.
float divide(float a, float b) {
  const uint bits_a = floatBitsToUint(a), bits_b = floatBitsToUint(b);
  uint dividend = bits_a & 0x7fffffu | 0x800000u, exponent = (bits_a >> 23) + 127u - (bits_b >> 23);
  const uint divisor = bits_b & 0x7fffffu | 0x800000u;
  if (dividend < divisor) {
    dividend <<= 1;
    --exponent;
  }
  // 24 bits of dividend·2^23 / divisor. The rest is within a few divisors: 32 bits hold it.
  uint quotient = uint(float(dividend) / float(divisor) * 8388608.0);
  int rest = int((dividend << 23) - quotient * divisor);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if (rest < 0) {
      --quotient;
      rest += int(divisor);
    }
  }
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if (rest >= int(divisor)) {
      ++quotient;
      rest -= int(divisor);
    }
  }
  if (2 * rest > int(divisor) || 2 * rest == int(divisor) && (quotient & 1u) != 0u) ++quotient;
  return uintBitsToFloat((exponent << 23) + (quotient - 0x800000u));
}

// Round to nearest even; large values saturate.
uint f32_to_f8e4m3(float v) {
  uint bits = floatBitsToUint(v), sign = bits >> 24 & 0x80u;
  bits &= 0x7fffffffu;
  if (bits < 0x3c800000u)  // below 2^-6: multiples of 2^-9
    return sign | uint(roundEven(uintBitsToFloat(bits) * 512.0));
  bits += 0x7ffffu + (bits >> 20 & 1u);
  return sign | min(bits - 0x3c000000u >> 20, 0x7eu);
}

uint narrow(float x, float factor) {
  precise float y = x * factor;
  if (!INTEGER) return f32_to_f8e4m3(y);
  precise float sum = y + 12582912.0;  // 1.5·2^23: its last bits are y, rounded; at most 127
  return floatBitsToUint(sum) & 0xffu;
}
uint narrow4(vec4 x, float factor) {
  return narrow(x.x, factor) | narrow(x.y, factor) << 8 | narrow(x.z, factor) << 16 |
         narrow(x.w, factor) << 24;
}

// NARROW_ROWS(Q, F): put_narrow() writes a chunk's numbers to operand Q; row_factor() is what numbers of
// a row are multiplied by to become small ones, from the largest magnitude in a lane; it stores what undoes
// it in operand F. Every invocation of the group calls it.
#define NARROW_ROWS(Q, F)                                                                        \
  void put_narrow(uint at, Chunk x, float factor) {                                              \
    if (factor == 0.0) x = Chunk(vec4(0), vec4(0)); /* not 0·NaN */                              \
    if (CHUNK == 1) put_byte_##Q(at, narrow(x.a.x, factor));                                     \
    else if (CHUNK == 4) put_word_##Q(at >> 2, narrow4(x.a, factor));                            \
    else put_pair_##Q(at >> 3, uvec2(narrow4(x.a, factor), narrow4(x.b, factor)));               \
  }                                                                                              \
  float row_factor(uint magnitude, bool store, uint row) {                                       \
    const float most = most_of_row(magnitude);                                                   \
    const float largest = INTEGER ? 127.0 : 448.0;                                               \
    const bool nothing = most < uintBitsToFloat(0x0d800000u); /* 2^-100 */                       \
    const bool broken = is_infinite(most);                                                       \
    if (store)                                                                                   \
      store_##F(row, broken ? uintBitsToFloat(0x7fc00000u)                                       \
                            : nothing ? 0.0 : divide(most, largest));                            \
    return nothing || broken ? 0.0 : divide(largest, most);                                      \
  }

#endif  // NARROW_ROWS_GLSL
