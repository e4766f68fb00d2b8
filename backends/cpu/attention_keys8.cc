#include "backends/cpu/attention_keys8.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/cpu/rows.h"

namespace zoetrope::cpu {
namespace {

// Of signed bytes, as many as are a multiple of four.
int32_t sum_of(const uint8_t* bytes, int64_t count) {
  constexpr int64_t kChunk = 32;
  int32_t sum = 0;
  int64_t i = 0;
  for (; i + kChunk <= count; i += kChunk)
    for (int64_t j = 0; j < kChunk; ++j) sum += static_cast<int8_t>(bytes[i + j]);
  for (; i < count; ++i) sum += static_cast<int8_t>(bytes[i]);
  return sum;
}

}  // namespace

// Any vector near the mean serves: of at most kSamples keys.
void Keys8::take_mean(const Simd& simd, const HeadRows& keys, int64_t valid, char* line,
                      char* head) const {
  constexpr int64_t kSamples = 1024;
  auto* mean = reinterpret_cast<float*>(head + mean_at());
  auto* row = reinterpret_cast<float*>(line);
  const auto add = simd.binary[static_cast<int>(Binary::kAdd)];
  const int64_t count = std::min(valid, kSamples);
  std::fill_n(mean, dim_, 0.0f);
  for (int64_t i = 0; i < count; ++i) {
    widen(simd, keys.dtype, keys.data + valid * i / count * keys.step, row, dim_);
    add(mean, 1, row, 1, mean, dim_);
  }
  // A key that is no number stays one key's.
  for (int64_t d = 0; d < dim_; ++d)
    mean[d] = std::isfinite(mean[d]) && count > 0 ? mean[d] / static_cast<float>(count) : 0;
}

void Keys8::pack(const Simd& simd, const HeadRows& keys, int64_t panel, char* line,
                 char* head) const {
  const auto subtract = simd.binary[static_cast<int>(Binary::kSub)];
  const auto* mean = reinterpret_cast<const float*>(head + mean_at());
  auto* row = reinterpret_cast<float*>(line);
  auto* bytes = reinterpret_cast<uint8_t*>(line + align_up(dim_ * 4));
  char* to = head + panel * panel_bytes();
  const int64_t first = panel * kColumns, columns = std::min(kColumns, keys_ - first);
  auto* less = reinterpret_cast<int32_t*>(head + less_at()) + first;
  auto* factors = reinterpret_cast<float*>(head + factors_at()) + first;
  if (columns < kColumns) std::memset(to, 0, idx(panel_bytes()));
  std::fill_n(less, kColumns, 0);
  std::fill_n(factors, kColumns, 0.0f);
  std::fill_n(bytes, depth(), uint8_t{0});
  for (int64_t j = 0; j < columns; ++j) {
    widen(simd, keys.dtype, keys.data + (first + j) * keys.step, row, dim_);
    subtract(row, 1, mean, 1, row, dim_);
    quantize_row(simd, row, simd.largest_magnitude(row, dim_), dim_, true, bytes, &factors[j]);
    less[j] = 128 * sum_of(bytes, depth());
    for (int64_t d = 0; d < depth(); d += 4) std::memcpy(to + (d * kColumns + 4 * j), bytes + d, 4);
  }
}

void Keys8::scale(const Simd& simd, const char* head, int64_t key, int64_t keys, float row,
                  float* scores) const {
  simd.scale_i32(reinterpret_cast<const int32_t*>(scores),
                 reinterpret_cast<const int32_t*>(head + less_at()) + key, row,
                 reinterpret_cast<const float*>(head + factors_at()) + key, nullptr, scores, keys);
}

void Keys8::narrow_queries(const Simd& simd, const HeadRows& queries, int64_t rows, char* line,
                           char* to, float* factors) const {
  auto* row = reinterpret_cast<float*>(line);
  auto* bytes = reinterpret_cast<uint8_t*>(line + align_up(dim_ * 4));
  std::fill_n(bytes, depth(), uint8_t{0});
  for (int64_t r = 0; r < rows; ++r) {
    widen(simd, queries.dtype, queries.data + r * queries.step, row, dim_);
    quantize_row(simd, row, simd.largest_magnitude(row, dim_), dim_, true, bytes, &factors[r]);
    simd.i8_to_u8(bytes, reinterpret_cast<uint8_t*>(to) + r * depth(), depth());
  }
}

}  // namespace zoetrope::cpu
