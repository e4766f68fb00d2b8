#version 450
// Weights of 8 and 4 bits as numbers: one rounding after the product, one after the sum. Chunks where
// they lie in one group, and rows begin at their borders.
#include "chunk.glsl"

layout(constant_id = 17) const bool OFFSET = false;

OPERAND(0)  // q [rows, ROW_BYTES]
OPERAND(1)  // scale [rows, GROUPS]
OPERAND(2)  // offset, likewise
OPERAND(3)  // y [rows, COLUMNS]
CHUNK_OUTPUT(3)

#define COUNT param(0)  // of y
#define COLUMNS param(1)
#define ROW_BYTES param(2)
#define GROUP param(3)
#define GROUPS param(4)

const bool kNibbles = DTYPE_0 == U8;
const float kZero = kNibbles && !OFFSET ? 8.0 : 0.0;

float stored(uint row, uint column) {
  if (!kNibbles) return load_0(row * ROW_BYTES + column);
  return float(byte_0(row * ROW_BYTES + column / 2) >> 4 * (column & 1u) & 15u) - kZero;
}
vec4 stored4(uint bits) {
  if (kNibbles) return vec4(bits & 15u, bits >> 4 & 15u, bits >> 8 & 15u, bits >> 12 & 15u) - kZero;
  const uvec4 bytes = uvec4(bits & 255u, bits >> 8 & 255u, bits >> 16 & 255u, bits >> 24);
  if (DTYPE_0 == I8) return vec4(ivec4(bytes << 24) >> 24);
  return vec4(f8e4m3_to_f32(bytes.x), f8e4m3_to_f32(bytes.y), f8e4m3_to_f32(bytes.z),
              f8e4m3_to_f32(bytes.w));
}

vec4 scaled(vec4 v, float scale, float offset) {
  precise vec4 product = v * scale;
  if (!OFFSET) return product;
  precise vec4 sum = product + offset;
  return sum;
}

void main() {
  const uint i = global_id() * CHUNK;
  if (i >= COUNT) return;
  const uint row = i / COLUMNS, column = i - row * COLUMNS;
  const uint factor = row * GROUPS + column / GROUP;
  const float scale = float_1(factor), offset = OFFSET ? float_2(factor) : 0.0;
  if (CHUNK == 1) {
    store_3(i, scaled(vec4(stored(row, column)), scale, offset).x);
    return;
  }
  // Eight elements: one word, or two.
  Chunk c;
  if (kNibbles) {
    const uint word = word_0(i >> 3);
    c = Chunk(stored4(word), stored4(word >> 16));
  } else {
    const uvec2 pair = pair_0(i >> 3);
    c = Chunk(stored4(pair.x), stored4(pair.y));
  }
  put_chunk_3(i, Chunk(scaled(c.a, scale, offset), scaled(c.b, scale, offset)));
}
