// How weights are stored in fewer bits: the formats, and rows to and from them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "graph/ops/dequantize.h"
#include "graph/shape.h"

namespace zoetrope {

enum class WeightFormat : uint8_t {
  kKeep,
  kF16,
  kBF16,
  kInt8,         // products of i8: rows of weights and of activations with a factor each
  kFp8,          // the same in f8e4m3
  kInt8Weights,  // i8 with a factor a row, made numbers again before they are used
  kInt4,         // 4 bits with a factor a group, likewise
};

// "int8", "fp8", "int8_weights", "int4", ...
std::string_view format_name(WeightFormat format);

// Of quantised formats: a tensor [rows, ...] is stored as `values` and `scale`.
struct EncodedTypes {
  TensorType values, scale;
};
// `group` is of kInt4: how many neighbours in a row share a factor.
EncodedTypes encoded_types(WeightFormat format, const Shape& shape, int64_t group);

// Encodes `rows` rows of `columns` finite f32. i8 and f8e4m3 as the op quantize_rows defines it;
// int4 with the factor of least squared error of a few near the largest magnitude / 8 and / 7,
// fitted to what it rounds to.
void encode_rows(WeightFormat format, int64_t group, const float* x, int64_t rows, int64_t columns,
                 uint8_t* values, uint8_t* scale);

// Of kInt4: the factor of a group, as f16, of least squared error; errors count as much as
// `importance` (null: alike) says.
uint16_t group_factor(const float* x, const float* importance, int64_t n);

// Of kInt4: the nearest whole number from −8 to 7, to even from the middle.
inline float round_int4(float x) {
  return std::min(std::max(x, -8.0f), 7.0f) + 0x1.8p23f - 0x1.8p23f;
}
// Such numbers as they are stored: two a byte plus 8, the first in its low half.
void pack_int4_row(const float* whole, int64_t columns, uint8_t* values);

// What dequantize reads, as host memory; offset may be null.
struct EncodedData {
  DType values_type = DType::kI8, scale_type = DType::kF32, offset_type = DType::kF32;
  const void *values = nullptr, *scale = nullptr, *offset = nullptr;
};
// Row `row` as f32: one rounding after the product, one after the sum.
void decode_row(const ops::DequantizeShape& shape, const EncodedData& data, int64_t row, float* y);

}  // namespace zoetrope
