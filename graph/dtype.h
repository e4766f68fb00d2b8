// Element types of tensors, and exact conversions of the narrow float formats.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "graph/status.h"

namespace zoetrope {

// The numbers are part of the file format: never change or reuse one.
enum class DType : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kBF16 = 2,
  kF64 = 3,
  kI32 = 4,
  kI64 = 5,
  kI8 = 6,
  kU8 = 7,
  kBool = 8,  // one byte, 0 or 1
  kF8E4M3 = 9,
  kF8E5M2 = 10,
};
inline constexpr int kDTypeCount = 11;

// Bytes of one element.
constexpr int64_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64: return 8;
    case DType::kF32:
    case DType::kI32: return 4;
    case DType::kF16:
    case DType::kBF16: return 2;
    default: return 1;
  }
}

constexpr bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF64 || dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2;
}

// "f32", "bf16", "i8", ...
std::string_view dtype_name(DType dtype);
Result<DType> parse_dtype(std::string_view name);

// Round to nearest even; NaN stays NaN.
inline uint16_t f32_to_bf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return static_cast<uint16_t>(bits >> 16);
}
inline float bf16_to_f32(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}
uint16_t f32_to_f16(float value);
float f16_to_f32(uint16_t value);
// Saturates at 448. Not for NaN.
inline uint8_t f32_to_f8e4m3(float value) {
  const uint32_t whole = std::bit_cast<uint32_t>(value), sign = whole >> 24 & 0x80u;
  uint32_t bits = whole & 0x7fffffffu;
  if (bits < 0x3c800000u)  // below 2^-6: multiples of 2^-9
    return static_cast<uint8_t>(
        sign | static_cast<uint32_t>(std::nearbyint(std::bit_cast<float>(bits) * 512.0f)));
  bits += 0x7ffffu + (bits >> 20 & 1u);
  const uint32_t rounded = (bits - 0x3c000000u) >> 20;
  return static_cast<uint8_t>(sign | (rounded < 0x7eu ? rounded : 0x7eu));
}

// Element `index` of a buffer of `dtype`, as a double, and back (rounding to nearest even; integers
// are truncated toward zero and saturated). Slow: for references, constants and printing.
double load_element(DType dtype, const void* data, int64_t index);
void store_element(DType dtype, void* data, int64_t index, double value);

}  // namespace zoetrope
