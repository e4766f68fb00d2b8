#version 450
// Rows as 8-bit numbers with one factor each. Divisions are exact, so that the numbers are the same
// on every device.
#include "rows.glsl"

layout(constant_id = 20) const bool INTEGER = true;  // i8; else f8e4m3
layout(constant_id = 21) const bool ROTATE = false;  // blocks of eight: CHUNK is 4 or 8

ROW_OPERAND(0)  // x
OPERAND(1)      // q
OPERAND(2)      // scale

#define ROWS param(0)
#define WIDTH param(1)

ROW_COMBINATION(row_max, float, ROW_PART_X, max)

// Neighbours 2 and 1 apart.
vec4 turn(vec4 v) {
  precise vec4 two = vec4(v.xy + v.zw, v.xy - v.zw);
  precise vec4 one = vec4(two.x + two.y, two.x - two.y, two.z + two.w, two.z - two.w);
  return one;
}

// Chunk c of the row that begins at `first`, turned with its neighbour where a block is two chunks.
Chunk get_turned(uint first, uint c) {
  Chunk own = get_0(first, 1, c);
  if (!ROTATE) return own;
  if (CHUNK == 8) {
    precise vec4 sum = own.a + own.b, rest = own.a - own.b;
    return Chunk(turn(sum), turn(rest));
  }
  const vec4 other = get_0(first, 1, c ^ 1u).a;
  precise vec4 four = (c & 1u) == 0u ? own.a + other : other - own.a;
  return Chunk(turn(four), vec4(0));
}

bool is_infinite(float most) { return floatBitsToUint(most) >= 0x7f800000u; }
bool has_gaps(vec4 v) {  // NaN or infinity, by their bits: compilers may assume there is none
  return any(greaterThanEqual(floatBitsToUint(v) & 0x7fffffffu, uvec4(0x7f800000u)));
}

// Infinity where a number is none.
float most_of(Chunk c) {
  if (has_gaps(CHUNK == 1 ? vec4(c.a.x) : c.a) || CHUNK == 8 && has_gaps(c.b))
    return uintBitsToFloat(0x7f800000u);
  if (CHUNK == 1) return abs(c.a.x);
  vec4 v = abs(c.a);
  if (CHUNK == 8) v = max(v, abs(c.b));
  return max(max(v.x, v.y), max(v.z, v.w));
}

// a / b rounded to nearest even, by long division of the mantissas; a, b and the quotient are
// positive and normal. The device's own division may be some units off.
float divide(float a, float b) {
  uint bits_a = floatBitsToUint(a), bits_b = floatBitsToUint(b);
  uint rest = bits_a & 0x7fffffu | 0x800000u, divisor = bits_b & 0x7fffffu | 0x800000u;
  uint exponent = (bits_a >> 23) + 127u - (bits_b >> 23);
  if (rest < divisor) {
    rest <<= 1;
    --exponent;
  }
  uint quotient = 0;
  for (uint i = 0; i < 24; ++i) {
    quotient <<= 1;
    if (rest >= divisor) {
      ++quotient;
      rest -= divisor;
    }
    rest <<= 1;
  }
  if (rest > divisor || rest == divisor && (quotient & 1u) != 0u) ++quotient;
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
  if (INTEGER) return uint(int(clamp(roundEven(y), -127.0, 127.0))) & 0xffu;
  return f32_to_f8e4m3(y);
}
uint narrow4(vec4 x, float factor) {
  return narrow(x.x, factor) | narrow(x.y, factor) << 8 | narrow(x.z, factor) << 16 |
         narrow(x.w, factor) << 24;
}

void put(uint at, Chunk x, float factor) {
  if (factor == 0.0) x = Chunk(vec4(0), vec4(0));  // not 0·NaN
  if (CHUNK == 1) put_byte_1(at, narrow(x.a.x, factor));
  else if (CHUNK == 4) put_word_1(at >> 2, narrow4(x.a, factor));
  else put_pair_1(at >> 3, uvec2(narrow4(x.a, factor), narrow4(x.b, factor)));
}

// What numbers of a row are multiplied by to become small ones; stores what undoes it.
float row_factor(float most, bool store, uint row) {
  const float largest = INTEGER ? 127.0 : 448.0;
  const bool nothing = most < uintBitsToFloat(0x0d800000u);  // 2^-100
  const bool broken = is_infinite(most);
  if (store)
    store_2(row, broken ? uintBitsToFloat(0x7fc00000u) : nothing ? 0.0 : divide(most, largest));
  return nothing || broken ? 0.0 : divide(largest, most);
}

void main() {
  const uint lane = lane_id(), rows = ROWS, width = WIDTH, chunks = width / CHUNK;
  const bool exists = row_id() < rows;
  const uint row = min(row_id(), rows - 1), first = row * width;
  float most = 0;
  if (KEEP > 0) {
    Chunk kept[MOST_KEPT];
    EACH_KEPT(i) kept[i] = get_turned(first, kept_chunk(lane, i, chunks));
    EACH_KEPT(i) most = max(most, most_of(kept[i]));
    const float factor = row_factor(row_max(most), exists && lane == 0, row);
    if (!exists) return;
    EACH_KEPT(i) {
      if (is_kept(lane, i, chunks)) put(first + (lane + i * LANES) * CHUNK, kept[i], factor);
    }
    return;
  }
  for (uint c = lane; c < chunks; c += LANES) most = max(most, most_of(get_turned(first, c)));
  const float factor = row_factor(row_max(most), exists && lane == 0, row);
  if (!exists) return;
  for (uint c = lane; c < chunks; c += LANES)
    put(first + c * CHUNK, get_turned(first, c), factor);
}
