#include "graph/dtype.h"

#include <array>

namespace zoetrope {
namespace {

constexpr std::array<std::string_view, kDTypeCount> kNames = {
    "f32", "f16", "bf16", "f64", "i32", "i64", "i8", "u8", "bool", "f8e4m3", "f8e5m2"};

// A float format of `exponent_bits` and `mantissa_bits`, widened exactly. `finite` formats (e4m3fn)
// have no infinity and one NaN pattern.
double widen(uint32_t bits, int exponent_bits, int mantissa_bits, bool finite) {
  const uint32_t sign = bits >> (exponent_bits + mantissa_bits);
  const uint32_t exponent_mask = (1u << exponent_bits) - 1;
  const uint32_t exponent = (bits >> mantissa_bits) & exponent_mask;
  const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  double value;
  if (exponent == exponent_mask && !finite) {
    value = mantissa ? std::numeric_limits<double>::quiet_NaN()
                     : std::numeric_limits<double>::infinity();
  } else if (finite && exponent == exponent_mask && mantissa == (1u << mantissa_bits) - 1) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<double>(mantissa), 1 - bias - mantissa_bits);
  } else {
    value = std::ldexp(static_cast<double>(mantissa | (1u << mantissa_bits)),
                       static_cast<int>(exponent) - bias - mantissa_bits);
  }
  return sign ? -value : value;
}

// Round to nearest even; overflow gives infinity, or the largest value in `finite` formats (what
// saturating hardware conversions do).
uint32_t narrow(double value, int exponent_bits, int mantissa_bits, bool finite) {
  const uint32_t sign = std::signbit(value) ? 1u << (exponent_bits + mantissa_bits) : 0u;
  const uint32_t exponent_mask = (1u << exponent_bits) - 1;
  const uint32_t mantissa_mask = (1u << mantissa_bits) - 1;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (std::isnan(value)) {
    const uint32_t mantissa = finite ? mantissa_mask : 1u << (mantissa_bits - 1);
    return sign | exponent_mask << mantissa_bits | mantissa;
  }
  const double magnitude = std::fabs(value);
  if (magnitude == 0) return sign;
  int exponent = std::isinf(magnitude) ? 0 : std::ilogb(magnitude);
  if (exponent < 1 - bias) exponent = 1 - bias;  // subnormal spacing
  const double scaled = std::nearbyint(std::ldexp(magnitude, mantissa_bits - exponent));
  const uint32_t infinity = exponent_mask << mantissa_bits;
  const uint32_t overflow = finite ? infinity | (mantissa_mask - 1) : infinity;
  if (std::isinf(magnitude)) return sign | overflow;
  const double units = scaled;  // in [0, 2^(mantissa_bits + 1)]
  // The biased exponent and mantissa add up to the right pattern even when rounding carries.
  const int64_t pattern =
      (static_cast<int64_t>(exponent + bias - 1) << mantissa_bits) + static_cast<int64_t>(units);
  if (pattern < 0) return sign;
  if (pattern > static_cast<int64_t>(finite ? overflow : infinity)) return sign | overflow;
  return sign | static_cast<uint32_t>(pattern);
}

template <typename T>
T load_as(const void* data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

template <typename T>
void store_as(void* data, int64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * static_cast<int64_t>(sizeof(T)), &value,
              sizeof(T));
}

template <typename T>
T saturate(double value) {
  if (std::isnan(value)) return 0;
  const double lo = static_cast<double>(std::numeric_limits<T>::min());
  const double hi = static_cast<double>(std::numeric_limits<T>::max());
  if (value <= lo) return std::numeric_limits<T>::min();
  if (value >= hi) return std::numeric_limits<T>::max();
  return static_cast<T>(value);
}

}  // namespace

std::string_view dtype_name(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  return index < kNames.size() ? kNames[index] : "invalid";
}

Result<DType> parse_dtype(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<DType>(i);
  return error(Code::kInvalidArgument, "unknown dtype '", name,
               "'; known: f32 f16 bf16 f64 i32 i64 i8 u8 bool f8e4m3 f8e5m2");
}

uint16_t f32_to_f16(float value) { return static_cast<uint16_t>(narrow(value, 5, 10, false)); }

float f16_to_f32(uint16_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x8000u) << 16;
  const uint32_t exponent = (value >> 10) & 0x1fu;
  const uint32_t mantissa = value & 0x3ffu;
  if (exponent == 0)
    return std::bit_cast<float>(sign) +
           (sign ? -1.0f : 1.0f) * static_cast<float>(mantissa) * 0x1p-24f;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

double load_element(DType dtype, const void* data, int64_t index) {
  switch (dtype) {
    case DType::kF32: return load_as<float>(data, index);
    case DType::kF64: return load_as<double>(data, index);
    case DType::kF16: return f16_to_f32(load_as<uint16_t>(data, index));
    case DType::kBF16: return bf16_to_f32(load_as<uint16_t>(data, index));
    case DType::kI32: return load_as<int32_t>(data, index);
    case DType::kI64: return static_cast<double>(load_as<int64_t>(data, index));
    case DType::kI8: return load_as<int8_t>(data, index);
    case DType::kU8: return load_as<uint8_t>(data, index);
    case DType::kBool: return load_as<uint8_t>(data, index) ? 1 : 0;
    case DType::kF8E4M3: return widen(load_as<uint8_t>(data, index), 4, 3, true);
    case DType::kF8E5M2: return widen(load_as<uint8_t>(data, index), 5, 2, false);
  }
  return 0;
}

void store_element(DType dtype, void* data, int64_t index, double value) {
  switch (dtype) {
    case DType::kF32: return store_as(data, index, static_cast<float>(value));
    case DType::kF64: return store_as(data, index, value);
    case DType::kF16:
      return store_as(data, index, static_cast<uint16_t>(narrow(value, 5, 10, false)));
    case DType::kBF16:
      return store_as(data, index, static_cast<uint16_t>(narrow(value, 8, 7, false)));
    case DType::kI32: return store_as(data, index, saturate<int32_t>(value));
    case DType::kI64: return store_as(data, index, saturate<int64_t>(value));
    case DType::kI8: return store_as(data, index, saturate<int8_t>(value));
    case DType::kU8: return store_as(data, index, saturate<uint8_t>(value));
    case DType::kBool: return store_as<uint8_t>(data, index, value != 0);
    case DType::kF8E4M3:
      return store_as(data, index, static_cast<uint8_t>(narrow(value, 4, 3, true)));
    case DType::kF8E5M2:
      return store_as(data, index, static_cast<uint8_t>(narrow(value, 5, 2, false)));
  }
}

}  // namespace zoetrope
