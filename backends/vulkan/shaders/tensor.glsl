// Access to a kernel's tensors, the same for every shader, whatever the device can do.
//
// A shader lists its operands with OPERAND(0) OPERAND(1) ... and then reads and writes elements:
//   float load_K(uint i)      int iload_K(uint i)         any dtype, widened
//   float float_K(uint i)     f32, f16 and bf16: less for compilers
//   vec4 load4_K(uint i)      i a multiple of four; f32, f16 and bf16
//   void store_K(uint i, float v), istore_K(uint i, int v), store4_K(uint i, vec4 v)
// Shapes come through param(i), whatever decides the code's form through specialization constants
// from 16 upwards. Work is numbered by group_id(), which may exceed one dispatch.
//
// Two ways to reach memory, chosen at compile time:
//   ADDRESSES  64-bit addresses in push constants; needs buffer device addresses, 64-bit integers, and
//              8- and 16-bit storage.
//   otherwise  one storage buffer an operand, read as 32-bit words: plain Vulkan 1.2. WINDOWS > 1
//              splits an operand into as many bindings of 2^WINDOW_SHIFT words.
#ifndef TENSOR_GLSL
#define TENSOR_GLSL

#extension GL_EXT_control_flow_attributes : enable

// The numbers of graph/dtype.h.
#define F32 0
#define F16 1
#define BF16 2
#define I32 4
#define I64 5
#define I8 6
#define U8 7
#define BOOL 8
#define F8E4M3 9
#define F8E5M2 10

layout(local_size_x_id = 13) in;
// The same number. gl_WorkGroupSize will not do: spirv-opt takes its default for its value.
layout(constant_id = 15) const uint GROUP_SIZE = 1;

// ---- numbers -------------------------------------------------------------------------------------

// Where packHalf2x16 is known to round to nearest even (Capabilities::nearest_half); elsewhere it may
// cut off, and integers do it.
layout(constant_id = 99) const bool NEAREST_HALF = false;

uint f32_to_f16(float v) {
  if (NEAREST_HALF) return packHalf2x16(vec2(v, 0));
  uint bits = floatBitsToUint(v), sign = bits >> 16 & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return sign | 0x7e00u;
  if (bits >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and more
  if (bits < 0x38800000u)                          // below 2^-14: multiples of 2^-24
    return sign | uint(roundEven(uintBitsToFloat(bits) * 16777216.0));
  bits += 0xfffu + (bits >> 13 & 1u);
  return sign | (bits - 0x38000000u) >> 13;
}

float f16_to_f32(uint h) {
  if (NEAREST_HALF) return unpackHalf2x16(h).x;
  uint rest = h & 0x7fffu, bits = (rest << 13) + 0x38000000u;
  if (rest >= 0x7c00u) bits |= 0x7f800000u;
  // Denormal: 2^-14·(1 + m/1024) − 2^-14 is exact and needs no denormal float.
  if (rest < 0x400u)
    bits = floatBitsToUint(uintBitsToFloat(bits + 0x800000u) - 6.103515625e-5);
  return uintBitsToFloat(bits | (h & 0x8000u) << 16);
}

uint f32_to_bf16(float v) {
  uint bits = floatBitsToUint(v);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40u;
  return bits + 0x7fffu + (bits >> 16 & 1u) >> 16;
}

float bf16_to_f32(uint h) { return uintBitsToFloat(h << 16); }
// For conversions of matrices to bf16, where drivers may cut off.
float rounded_to_bf16(float v) { return bf16_to_f32(f32_to_bf16(v)); }

float f8e4m3_to_f32(uint b) {
  uint e = b >> 3 & 15u, m = b & 7u;
  float v = e == 0u ? float(m) * (1.0 / 512.0) : uintBitsToFloat((e + 120u) << 23 | m << 20);
  if ((b & 0x7fu) == 0x7fu) v = uintBitsToFloat(0x7fc00000u);
  return (b & 0x80u) != 0u ? -v : v;
}

float f8e5m2_to_f32(uint b) { return f16_to_f32(b << 8); }

// Of a 64-bit integer, low and high. Bits that do not fit leave a trace in the last one that does:
// rounded once.
float i64_to_f32(uvec2 v) {
  bool negative = int(v.y) < 0;
  if (negative) v = uvec2(~v.x + 1u, ~v.y + (v.x == 0u ? 1u : 0u));
  float r = float(v.x);
  if (v.y != 0u) {
    int shift = findMSB(v.y) + 1;  // 1 to 32
    uint kept = shift == 32 ? v.y : v.y << 32 - shift | v.x >> shift;
    uint lost = shift == 32 ? v.x : v.x << 32 - shift;
    r = float(kept | (lost != 0u ? 1u : 0u)) * uintBitsToFloat(uint(127 + shift) << 23);
  }
  return negative ? -r : r;
}

// ---- memory --------------------------------------------------------------------------------------

#ifdef ADDRESSES

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_8bit_storage : require

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Word { uint v; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Pair { uvec2 v; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Quad { uvec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 2) buffer Half { uint16_t v; };
layout(buffer_reference, std430, buffer_reference_align = 1) buffer Byte { uint8_t v; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Long { uint64_t v; };

layout(push_constant) uniform Push {
  uint64_t address[12];
  uint64_t params;
  uint first_group;
} push;

// Bit K: operand K lies in several allocations, and its address leads to a table of them:
// log2 of their size, the operand's first byte, then the address of each.
layout(constant_id = 12) const uint SEGMENTED = 0;

uint64_t segment_address(uint64_t table, uint64_t byte) {
  uint64_t at = Long(table + 8).v + byte;
  uint shift = Word(table).v;
  return Long(table + 16 + 8 * (at >> shift)).v + (at & (uint64_t(1) << shift) - 1);
}

uint param(uint i) { return Word(push.params + 4 * i).v; }

#define OPERAND_MEMORY(K)                                                                     \
  uint64_t at_##K(uint64_t byte) {                                                            \
    if ((SEGMENTED >> K & 1u) != 0u) return segment_address(push.address[K], byte);           \
    return push.address[K] + byte;                                                            \
  }                                                                                           \
  uint word_##K(uint i) { return Word(at_##K(4 * uint64_t(i))).v; }                           \
  void put_word_##K(uint i, uint v) { Word(at_##K(4 * uint64_t(i))).v = v; }                  \
  uint half_##K(uint i) { return uint(Half(at_##K(2 * uint64_t(i))).v); }                     \
  void put_half_##K(uint i, uint v) { Half(at_##K(2 * uint64_t(i))).v = uint16_t(v); }        \
  uint byte_##K(uint i) { return uint(Byte(at_##K(uint64_t(i))).v); }                         \
  void put_byte_##K(uint i, uint v) { Byte(at_##K(uint64_t(i))).v = uint8_t(v); }             \
  uvec2 pair_##K(uint i) { return Pair(at_##K(8 * uint64_t(i))).v; }                          \
  void put_pair_##K(uint i, uvec2 v) { Pair(at_##K(8 * uint64_t(i))).v = v; }                 \
  uvec4 quad_##K(uint i) { return Quad(at_##K(16 * uint64_t(i))).v; }                         \
  void put_quad_##K(uint i, uvec4 v) { Quad(at_##K(16 * uint64_t(i))).v = v; }

#else

layout(push_constant) uniform Push {
  uint first_group;
  uint first_word[12];  // of an operand within its first binding
} push;
layout(std430, binding = 12) readonly buffer Params { uint v[]; } params;

uint param(uint i) { return params.v[i]; }

#if WINDOWS > 1
layout(constant_id = 14) const uint WINDOW_SHIFT = 25;
#define WORD_ACCESS(K, I, STATEMENT)                        \
  uint at = (I) + push.first_word[K];                       \
  uint w = at & (1u << WINDOW_SHIFT) - 1u;                  \
  switch (at >> WINDOW_SHIFT) {                             \
    case 0: { STATEMENT(operand_##K[0].v[w]) } break;       \
    case 1: { STATEMENT(operand_##K[1].v[w]) } break;       \
    case 2: { STATEMENT(operand_##K[2].v[w]) } break;       \
    case 3: { STATEMENT(operand_##K[3].v[w]) } break;       \
    case 4: { STATEMENT(operand_##K[4].v[w]) } break;       \
    case 5: { STATEMENT(operand_##K[5].v[w]) } break;       \
    case 6: { STATEMENT(operand_##K[6].v[w]) } break;       \
    default: { STATEMENT(operand_##K[7].v[w]) } break;      \
  }
#define OPERAND_BUFFER(K) \
  layout(std430, binding = K) buffer Operand##K { uint v[]; } operand_##K[WINDOWS];
#else
#define WORD_ACCESS(K, I, STATEMENT) STATEMENT(operand_##K.v[I])
#define OPERAND_BUFFER(K) layout(std430, binding = K) buffer Operand##K { uint v[]; } operand_##K;
#endif

#define READ_WORD(W) r = W;
#define WRITE_WORD(W) W = v;
#define MERGE_WORD(W) atomicAnd(W, ~mask); atomicOr(W, v);

// Narrow elements share words with those of other invocations: atomics put them in place.
#define OPERAND_MEMORY(K)                                                                     \
  OPERAND_BUFFER(K)                                                                           \
  uint word_##K(uint i) { uint r = 0; WORD_ACCESS(K, i, READ_WORD) return r; }                \
  void put_word_##K(uint i, uint v) { WORD_ACCESS(K, i, WRITE_WORD) }                         \
  void merge_word_##K(uint i, uint v, uint mask) { WORD_ACCESS(K, i, MERGE_WORD) }            \
  uint half_##K(uint i) { return word_##K(i >> 1) >> 16 * (i & 1u) & 0xffffu; }               \
  void put_half_##K(uint i, uint v) {                                                         \
    uint shift = 16 * (i & 1u);                                                               \
    merge_word_##K(i >> 1, v << shift, 0xffffu << shift);                                     \
  }                                                                                           \
  uint byte_##K(uint i) { return word_##K(i >> 2) >> 8 * (i & 3u) & 0xffu; }                  \
  void put_byte_##K(uint i, uint v) {                                                         \
    uint shift = 8 * (i & 3u);                                                                \
    merge_word_##K(i >> 2, v << shift, 0xffu << shift);                                       \
  }                                                                                           \
  uvec2 pair_##K(uint i) { return uvec2(word_##K(2 * i), word_##K(2 * i + 1)); }              \
  void put_pair_##K(uint i, uvec2 v) { put_word_##K(2 * i, v.x); put_word_##K(2 * i + 1, v.y); } \
  uvec4 quad_##K(uint i) { return uvec4(pair_##K(2 * i), pair_##K(2 * i + 1)); }              \
  void put_quad_##K(uint i, uvec4 v) { put_pair_##K(2 * i, v.xy); put_pair_##K(2 * i + 1, v.zw); }

#endif

uint group_id() { return push.first_group + gl_WorkGroupID.x; }
// Of an invocation, over all groups.
uint global_id() { return group_id() * GROUP_SIZE + gl_LocalInvocationID.x; }

// ---- elements ------------------------------------------------------------------------------------

// f16_to_f32 and the others above, four at once.
vec4 unpack_f16(uvec2 v) {
  if (NEAREST_HALF) return vec4(unpackHalf2x16(v.x), unpackHalf2x16(v.y));
  uvec4 h = uvec4(v.x & 0xffffu, v.x >> 16, v.y & 0xffffu, v.y >> 16);
  uvec4 rest = h & 0x7fffu, bits = (rest << 13) + 0x38000000u;
  bits |= mix(uvec4(0), uvec4(0x7f800000u), greaterThanEqual(rest, uvec4(0x7c00u)));
  uvec4 small = floatBitsToUint(uintBitsToFloat(bits + 0x800000u) - 6.103515625e-5);
  bits = mix(bits, small, lessThan(rest, uvec4(0x400u)));
  return uintBitsToFloat(bits | (h & 0x8000u) << 16);
}
vec4 unpack_bf16(uvec2 v) {
  return uintBitsToFloat(uvec4(v.x << 16, v.x & 0xffff0000u, v.y << 16, v.y & 0xffff0000u));
}
uvec2 pack_f16(vec4 v) {
  if (NEAREST_HALF) return uvec2(packHalf2x16(v.xy), packHalf2x16(v.zw));
  uvec4 bits = floatBitsToUint(v), sign = bits >> 16 & 0x8000u;
  bits &= 0x7fffffffu;
  uvec4 h = bits + 0xfffu + (bits >> 13 & 1u) - 0x38000000u >> 13;
  uvec4 small = uvec4(roundEven(uintBitsToFloat(bits) * 16777216.0));
  h = mix(h, small, lessThan(bits, uvec4(0x38800000u)));
  h = mix(h, uvec4(0x7c00u), greaterThanEqual(bits, uvec4(0x477ff000u)));
  h = mix(h, uvec4(0x7e00u), greaterThan(bits, uvec4(0x7f800000u))) | sign;
  return h.xz | h.yw << 16;
}
uvec2 pack_bf16(vec4 v) {
  uvec4 bits = floatBitsToUint(v);
  uvec4 h = bits + 0x7fffu + (bits >> 16 & 1u);
  h = mix(h, bits | 0x400000u, greaterThan(bits & 0x7fffffffu, uvec4(0x7f800000u)));
  return h.xz >> 16 | (h.yw & 0xffff0000u);
}

#define OPERAND(K)                                                                            \
  layout(constant_id = K) const uint DTYPE_##K = 0;                                           \
  OPERAND_MEMORY(K)                                                                           \
  int iload_##K(uint i) {                                                                     \
    if (DTYPE_##K == I32) return int(word_##K(i));                                            \
    if (DTYPE_##K == I64) return int(word_##K(2 * i));                                        \
    if (DTYPE_##K == I8) return int(byte_##K(i) << 24) >> 24;                                 \
    return int(byte_##K(i));                                                                  \
  }                                                                                           \
  float float_##K(uint i) {                                                                   \
    if (DTYPE_##K == F32) return uintBitsToFloat(word_##K(i));                                \
    return DTYPE_##K == F16 ? f16_to_f32(half_##K(i)) : bf16_to_f32(half_##K(i));             \
  }                                                                                           \
  float load_##K(uint i) {                                                                    \
    if (DTYPE_##K == F32) return uintBitsToFloat(word_##K(i));                                \
    if (DTYPE_##K == F16) return f16_to_f32(half_##K(i));                                     \
    if (DTYPE_##K == BF16) return bf16_to_f32(half_##K(i));                                   \
    if (DTYPE_##K == F8E4M3) return f8e4m3_to_f32(byte_##K(i));                               \
    if (DTYPE_##K == F8E5M2) return f8e5m2_to_f32(byte_##K(i));                               \
    if (DTYPE_##K == I64) return i64_to_f32(pair_##K(i));                                     \
    return float(iload_##K(i));                                                               \
  }                                                                                           \
  void istore_##K(uint i, int v) {                                                            \
    if (DTYPE_##K == I32) put_word_##K(i, uint(v));                                           \
    else if (DTYPE_##K == I64) put_pair_##K(i, uvec2(v, v < 0 ? -1 : 0));                     \
    else put_byte_##K(i, uint(v) & 0xffu);                                                    \
  }                                                                                           \
  void store_##K(uint i, float v) {                                                           \
    if (DTYPE_##K == F32) put_word_##K(i, floatBitsToUint(v));                                \
    else if (DTYPE_##K == F16) put_half_##K(i, f32_to_f16(v));                                \
    else if (DTYPE_##K == BF16) put_half_##K(i, f32_to_bf16(v));                              \
    else istore_##K(i, int(v));                                                               \
  }                                                                                           \
  vec4 load4_##K(uint i) {                                                                    \
    if (DTYPE_##K == F32) return uintBitsToFloat(quad_##K(i >> 2));                           \
    if (DTYPE_##K == F16) return unpack_f16(pair_##K(i >> 2));                                \
    return unpack_bf16(pair_##K(i >> 2));                                                     \
  }                                                                                           \
  void store4_##K(uint i, vec4 v) {                                                           \
    if (DTYPE_##K == F32) put_quad_##K(i >> 2, floatBitsToUint(v));                           \
    else if (DTYPE_##K == F16) put_pair_##K(i >> 2, pack_f16(v));                             \
    else put_pair_##K(i >> 2, pack_bf16(v));                                                  \
  }

#endif  // TENSOR_GLSL
