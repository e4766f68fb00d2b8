#include "graph/weight_format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace zoetrope {
namespace {

constexpr std::array<std::string_view, 7> kNames = {"keep", "f16",          "bf16", "int8",
                                                    "fp8",  "int8_weights", "int4"};

// The definition in graph/ops/quantize_rows.cc, operation by operation.
void encode_8bit(bool integer, const float* x, int64_t n, uint8_t* values, float* scale) {
  const float largest = integer ? 127.0f : 448.0f;
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::fabs(x[i]));
  const bool nothing = most < 0x1p-100f;
  *scale = nothing ? 0 : most / largest;
  const float factor = nothing ? 0 : largest / most;
  if (!integer) {
    for (int64_t i = 0; i < n; ++i) values[i] = f32_to_f8e4m3(x[i] * factor);
    return;
  }
  // Adding 1.5·2^23 rounds to nearest even; the magnitude is below 128.
  for (int64_t i = 0; i < n; ++i)
    values[i] = static_cast<uint8_t>(
        std::bit_cast<uint32_t>(std::min(std::max(x[i] * factor, -127.0f), 127.0f) + 0x1.8p23f));
}

// Sum of squared errors of x as multiples of d from −8 to 7.
float error_of(const float* x, const float* importance, int64_t n, float d) {
  const float inverse = 1 / d;
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float e = x[i] - round_int4(x[i] * inverse) * d;
    sum += importance == nullptr ? e * e : e * e * importance[i];
  }
  return sum;
}

// Of least error for the whole numbers that d rounds x to.
float fitted_factor(const float* x, const float* importance, int64_t n, float d) {
  const float inverse = d == 0 ? 0 : 1 / d;
  float along = 0, square = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float q = round_int4(x[i] * inverse), weight = importance == nullptr ? 1 : importance[i];
    along += weight * q * x[i];
    square += weight * q * q;
  }
  return square > 0 ? along / square : 0;
}

void encode_int4(int64_t group, const float* x, int64_t n, uint8_t* values, uint8_t* scale) {
  std::vector<float> whole(static_cast<size_t>(n));
  for (int64_t begin = 0, g = 0; begin < n; begin += group, ++g) {
    const int64_t end = std::min(begin + group, n);
    const uint16_t factor = group_factor(x + begin, nullptr, end - begin);
    const float d = f16_to_f32(factor), inverse = d == 0 ? 0 : 1 / d;
    for (int64_t i = begin; i < end; ++i)
      whole[static_cast<size_t>(i)] = round_int4(x[i] * inverse);
    std::memcpy(scale + 2 * g, &factor, 2);
  }
  pack_int4_row(whole.data(), n, values);
}

// Of every byte.
const std::array<float, 256>& f8e4m3_numbers() {
  static const std::array<float, 256> numbers = [] {
    std::array<float, 256> list{};
    for (int byte = 0; byte < 256; ++byte) {
      const auto stored = static_cast<uint8_t>(byte);
      list[stored] = static_cast<float>(load_element(DType::kF8E4M3, &stored, 0));
    }
    return list;
  }();
  return numbers;
}

}  // namespace

uint16_t group_factor(const float* x, const float* importance, int64_t n) {
  float extreme = 0;
  for (int64_t i = 0; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  uint16_t best = 0;
  float least = INFINITY;
  const auto consider = [&](float factor) {
    const uint16_t half = f32_to_f16(factor);
    const float d = f16_to_f32(half);
    if (d == 0 || !std::isfinite(d)) return;
    if (const float error = error_of(x, importance, n, d); error < least) {
      least = error;
      best = half;
    }
  };
  for (int step = 0; step < 3; ++step)
    consider(extreme / (-8.0f + 0.8f * static_cast<float>(step)));
  for (int step = 0; step < 3; ++step) consider(extreme / (7.0f - 0.8f * static_cast<float>(step)));
  // From there on, the factor that fits what the last one rounded to.
  for (float before = INFINITY; least < before;) {
    before = least;
    consider(fitted_factor(x, importance, n, f16_to_f32(best)));
  }
  return best;
}

void pack_int4_row(const float* whole, int64_t columns, uint8_t* values) {
  const auto code = [&](int64_t i) {
    return i < columns ? static_cast<unsigned>(8 + static_cast<int>(whole[i])) : 0;
  };
  for (int64_t i = 0; i < columns; i += 2)
    values[i / 2] = static_cast<uint8_t>(code(i) | code(i + 1) << 4);
}

std::string_view format_name(WeightFormat format) { return kNames[static_cast<size_t>(format)]; }

EncodedTypes encoded_types(WeightFormat format, const Shape& shape, int64_t group) {
  const int64_t rows = shape[0], columns = rows > 0 ? shape.elements() / rows : 0;
  switch (format) {
    case WeightFormat::kInt8: return {{DType::kI8, {rows, columns}}, {DType::kF32, {rows}}};
    case WeightFormat::kFp8: return {{DType::kF8E4M3, {rows, columns}}, {DType::kF32, {rows}}};
    case WeightFormat::kInt8Weights:
      return {{DType::kI8, {rows, columns}}, {DType::kF32, {rows, 1}}};
    default:
      return {{DType::kU8, {rows, (columns + 1) / 2}},
              {DType::kF16, {rows, (columns + group - 1) / group}}};
  }
}

void encode_rows(WeightFormat format, int64_t group, const float* x, int64_t rows, int64_t columns,
                 uint8_t* values, uint8_t* scale) {
  const bool narrow = format == WeightFormat::kInt4;
  const int64_t value_bytes = narrow ? (columns + 1) / 2 : columns;
  const int64_t scale_bytes = narrow ? (columns + group - 1) / group * 2 : 4;
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * columns;
    if (narrow) {
      encode_int4(group, row, columns, values + r * value_bytes, scale + r * scale_bytes);
    } else {
      float factor;
      encode_8bit(format != WeightFormat::kFp8, row, columns, values + r * value_bytes, &factor);
      std::memcpy(scale + r * scale_bytes, &factor, 4);
    }
  }
}

void decode_row(const ops::DequantizeShape& s, const EncodedData& data, int64_t row, float* y) {
  const auto* q = static_cast<const uint8_t*>(data.values) + row * s.row_bytes;
  if (data.values_type == DType::kI8) {
    for (int64_t i = 0; i < s.columns; ++i) y[i] = static_cast<float>(static_cast<int8_t>(q[i]));
  } else if (data.values_type == DType::kU8) {
    const float zero = data.offset == nullptr ? 8 : 0;
    for (int64_t i = 0; i < s.columns / 2; ++i) {
      y[2 * i] = static_cast<float>(q[i] & 15) - zero;
      y[2 * i + 1] = static_cast<float>(q[i] >> 4) - zero;
    }
    if (s.columns % 2 != 0) y[s.columns - 1] = static_cast<float>(q[s.columns / 2] & 15) - zero;
  } else {
    const std::array<float, 256>& numbers = f8e4m3_numbers();
    for (int64_t i = 0; i < s.columns; ++i) y[i] = numbers[q[i]];
  }
  for (int64_t g = 0; g < s.groups; ++g) {
    const int64_t end = std::min(s.columns, (g + 1) * s.group);
    const auto scale =
        static_cast<float>(load_element(data.scale_type, data.scale, row * s.groups + g));
    for (int64_t i = g * s.group; i < end; ++i) y[i] *= scale;
    if (data.offset == nullptr) continue;
    const auto offset =
        static_cast<float>(load_element(data.offset_type, data.offset, row * s.groups + g));
    for (int64_t i = g * s.group; i < end; ++i) y[i] += offset;
  }
}

}  // namespace zoetrope
