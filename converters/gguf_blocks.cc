#include "converters/gguf_blocks.h"

#include <cstring>
#include <utility>

namespace zoetrope {
namespace {

float half(const uint8_t* bytes) {
  return f16_to_f32(static_cast<uint16_t>(bytes[0] | bytes[1] << 8));
}

// Nibbles: the first 16 elements are low halves, the others high ones.
template <typename F>
void split_nibbles(const uint8_t* bytes, const F& value, int8_t* q) {
  for (int j = 0; j < 16; ++j) {
    q[j] = static_cast<int8_t>(value(bytes[j] & 15, j));
    q[j + 16] = static_cast<int8_t>(value(bytes[j] >> 4, j + 16));
  }
}

void decode_q4_0(const uint8_t* b, int8_t* q, float* scale, float*) {
  *scale = half(b);
  split_nibbles(
      b + 2, [](int v, int) { return v - 8; }, q);
}

void decode_q4_1(const uint8_t* b, int8_t* q, float* scale, float* offset) {
  *scale = half(b), *offset = half(b + 2);
  split_nibbles(
      b + 4, [](int v, int) { return v; }, q);
}

// The fifth bits of 32 elements.
int fifth(const uint8_t* bits, int j) { return (bits[j / 8] >> (j % 8) & 1) << 4; }

void decode_q5_0(const uint8_t* b, int8_t* q, float* scale, float*) {
  *scale = half(b);
  split_nibbles(
      b + 6, [&](int v, int j) { return (v | fifth(b + 2, j)) - 16; }, q);
}

void decode_q5_1(const uint8_t* b, int8_t* q, float* scale, float* offset) {
  *scale = half(b), *offset = half(b + 2);
  split_nibbles(
      b + 8, [&](int v, int j) { return v | fifth(b + 4, j); }, q);
}

void decode_q8_0(const uint8_t* b, int8_t* q, float* scale, float*) {
  *scale = half(b);
  std::memcpy(q, b + 2, 32);
}

void decode_iq4_nl(const uint8_t* b, int8_t* q, float* scale, float*) {
  constexpr int kValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};
  *scale = half(b);
  split_nibbles(
      b + 2, [&](int v, int) { return kValues[v]; }, q);
}

// scales[16], q[64] of 2 bits, d, dmin.
void decode_q2_k(const uint8_t* b, int8_t* q, float* scale, float* offset) {
  const float d = half(b + 80), least = half(b + 82);
  for (int g = 0; g < 16; ++g) {
    scale[g] = d * static_cast<float>(b[g] & 15);
    offset[g] = -(least * static_cast<float>(b[g] >> 4));
  }
  for (int i = 0; i < 256; ++i)
    q[i] = static_cast<int8_t>(b[16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3);
}

// hmask[32], q[64] of 2 bits, scales[12] of 6 bits, d.
void decode_q3_k(const uint8_t* b, int8_t* q, float* scale, float*) {
  const uint8_t* s = b + 96;
  const float d = half(b + 108);
  for (int g = 0; g < 16; ++g) {
    const int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
    const int high = s[8 + g % 4] >> (g / 4 * 2) & 3;
    scale[g] = d * static_cast<float>((low | high << 4) - 32);
  }
  for (int i = 0; i < 256; ++i) {
    const int low = b[32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    const int high = b[i % 32] >> (i / 32) & 1;
    q[i] = static_cast<int8_t>(low - (high ? 0 : 4));
  }
}

// Eight pairs of 6 bits in 12 bytes: factor and offset of each group of Q4_K and Q5_K.
void decode_pairs(const uint8_t* b, float* scale, float* offset) {
  const float d = half(b), least = half(b + 2);
  const uint8_t* s = b + 4;
  for (int g = 0; g < 8; ++g) {
    const int factor = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
    const int minimum = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | s[g] >> 6 << 4;
    scale[g] = d * static_cast<float>(factor);
    offset[g] = -(least * static_cast<float>(minimum));
  }
}

int pair_nibble(const uint8_t* bytes, int i) {
  const int byte = bytes[i / 64 * 32 + i % 32];
  return i % 64 < 32 ? byte & 15 : byte >> 4;
}

void decode_q4_k(const uint8_t* b, int8_t* q, float* scale, float* offset) {
  decode_pairs(b, scale, offset);
  for (int i = 0; i < 256; ++i) q[i] = static_cast<int8_t>(pair_nibble(b + 16, i));
}

void decode_q5_k(const uint8_t* b, int8_t* q, float* scale, float* offset) {
  decode_pairs(b, scale, offset);
  for (int i = 0; i < 256; ++i)
    q[i] = static_cast<int8_t>(pair_nibble(b + 48, i) | (b[16 + i % 32] >> (i / 32) & 1) << 4);
}

// ql[128], qh[64], scales[16] of i8, d.
void decode_q6_k(const uint8_t* b, int8_t* q, float* scale, float*) {
  const float d = half(b + 208);
  for (int g = 0; g < 16; ++g) scale[g] = d * static_cast<float>(static_cast<int8_t>(b[192 + g]));
  for (int i = 0; i < 256; ++i) {
    const int n = i / 128, at = i % 128, quarter = at / 32, l = at % 32;
    const int byte = b[n * 64 + quarter % 2 * 32 + l];
    const int low = quarter < 2 ? byte & 15 : byte >> 4;
    const int high = b[128 + n * 32 + l] >> (2 * quarter) & 3;
    q[i] = static_cast<int8_t>((low | high << 4) - 32);
  }
}

constexpr GgmlBlock kBlocks[] = {
    {GgmlType::kQ4_0, "Q4_0", 32, 18, 32, false, true, DType::kF16, decode_q4_0},
    {GgmlType::kQ4_1, "Q4_1", 32, 20, 32, true, true, DType::kF16, decode_q4_1},
    {GgmlType::kQ5_0, "Q5_0", 32, 22, 32, false, false, DType::kF16, decode_q5_0},
    {GgmlType::kQ5_1, "Q5_1", 32, 24, 32, true, false, DType::kF16, decode_q5_1},
    {GgmlType::kQ8_0, "Q8_0", 32, 34, 32, false, false, DType::kF16, decode_q8_0},
    {GgmlType::kQ2K, "Q2_K", 256, 84, 16, true, true, DType::kF32, decode_q2_k},
    {GgmlType::kQ3K, "Q3_K", 256, 110, 16, false, true, DType::kF32, decode_q3_k},
    {GgmlType::kQ4K, "Q4_K", 256, 144, 32, true, true, DType::kF32, decode_q4_k},
    {GgmlType::kQ5K, "Q5_K", 256, 176, 32, true, false, DType::kF32, decode_q5_k},
    {GgmlType::kQ6K, "Q6_K", 256, 210, 16, false, false, DType::kF32, decode_q6_k},
    {GgmlType::kIq4Nl, "IQ4_NL", 32, 18, 32, false, false, DType::kF16, decode_iq4_nl},
};

constexpr std::pair<GgmlType, DType> kPlain[] = {
    {GgmlType::kF32, DType::kF32},  {GgmlType::kF16, DType::kF16}, {GgmlType::kI8, DType::kI8},
    {GgmlType::kI32, DType::kI32},  {GgmlType::kI64, DType::kI64}, {GgmlType::kF64, DType::kF64},
    {GgmlType::kBF16, DType::kBF16}};

constexpr std::pair<uint32_t, std::string_view> kOthers[] = {
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"}, {25, "I16"},
    {29, "IQ1_M"}, {34, "TQ1_0"}, {35, "TQ2_0"},   {39, "MXFP4"}};

}  // namespace

const GgmlBlock* find_ggml_block(uint32_t type) {
  for (const GgmlBlock& block : kBlocks)
    if (static_cast<uint32_t>(block.type) == type) return &block;
  return nullptr;
}

std::optional<DType> ggml_dtype(uint32_t type) {
  for (const auto& [plain, dtype] : kPlain)
    if (static_cast<uint32_t>(plain) == type) return dtype;
  return std::nullopt;
}

std::string_view ggml_type_name(uint32_t type) {
  if (const GgmlBlock* block = find_ggml_block(type)) return block->name;
  if (const auto dtype = ggml_dtype(type)) return dtype_name(*dtype);
  for (const auto& [other, name] : kOthers)
    if (other == type) return name;
  return "of a type that is not known";
}

}  // namespace zoetrope
