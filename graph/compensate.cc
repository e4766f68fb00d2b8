#include "graph/compensate.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/dtype.h"
#include "graph/parallel_rows.h"
#include "graph/status.h"
#include "graph/weight_format.h"

namespace zoetrope {

void RowMoments::add(const float* rows, int64_t count) {
  std::vector<const float*> finite;
  for (int64_t r = 0; r < count; ++r) {
    const float* const x = rows + r * columns_;
    if (std::all_of(x, x + columns_, [](float v) { return std::isfinite(v); })) finite.push_back(x);
  }
  if (finite.empty()) return;
  rows_ += static_cast<int64_t>(finite.size());
  if (sums_.empty()) sums_.assign(static_cast<size_t>(blocks() * block_ * block_), 0);
  const int64_t parts = row_parts(columns_, 16);
  for_rows(columns_, parts, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t column = begin; column < end; ++column) {
      const int64_t i = column % block_, first = column - i,
                    width = std::min(block_, columns_ - first);
      float* const sums = sums_.data() + column * block_;
      for (const float* x : finite) {
        const float by = x[column];
        for (int64_t j = i; j < width; ++j) sums[j] += by * x[first + j];
      }
    }
  });
}

namespace {

// U, upper triangular, of H⁻¹ = UᵀU: H = R·Rᵀ with R upper triangular, U = R⁻¹. Empty where H is
// not positive, for all that was added to it.
std::vector<float> spread_of(std::vector<double> h, int64_t n) {
  const auto at = [&](int64_t i, int64_t j) -> double& {
    return h[static_cast<size_t>(i * n + j)];
  };
  for (int64_t j = n - 1; j >= 0; --j) {
    double square = at(j, j);
    for (int64_t k = j + 1; k < n; ++k) square -= at(j, k) * at(j, k);
    if (!(square > 0) || !std::isfinite(square)) return {};
    at(j, j) = std::sqrt(square);
    for (int64_t i = 0; i < j; ++i) {
      double sum = at(i, j);
      for (int64_t k = j + 1; k < n; ++k) sum -= at(i, k) * at(j, k);
      at(i, j) = sum / at(j, j);
    }
  }
  // The inverse in place, from the last row up: U[i][j] = −(Σ R[i][k]·U[k][j]) / R[i][i].
  std::vector<double> row(static_cast<size_t>(n));
  for (int64_t i = n - 1; i >= 0; --i) {
    const double inverse = 1 / at(i, i);
    std::fill(row.begin(), row.end(), 0.0);
    for (int64_t k = i + 1; k < n; ++k)
      for (int64_t j = k; j < n; ++j) row[static_cast<size_t>(j)] += at(i, k) * at(k, j);
    for (int64_t j = i + 1; j < n; ++j) at(i, j) = -row[static_cast<size_t>(j)] * inverse;
    at(i, i) = inverse;
  }
  std::vector<float> spread(static_cast<size_t>(n * n), 0);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i; j < n; ++j)
      spread[static_cast<size_t>(i * n + j)] = static_cast<float>(at(i, j));
  return spread;
}

}  // namespace

Compensation::Compensation(const RowMoments& moments)
    : columns_(moments.columns()), block_(moments.block()) {
  for (int64_t b = 0; b < moments.blocks(); ++b) {
    const int64_t n = moments.width(b);
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean += moments.sum(b, i, i) / static_cast<double>(n);
    Block block;
    if (mean > 0 && std::isfinite(mean) && moments.rows() >= 2 * n) {
      std::vector<double> h(static_cast<size_t>(n * n));
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j)
          h[static_cast<size_t>(i * n + j)] = moments.sum(b, i, j) / mean + (i == j ? 0.01 : 0);
      for (int64_t i = 0; i < n; ++i)
        block.importance.push_back(static_cast<float>(h[static_cast<size_t>(i * n + i)]));
      block.spread = spread_of(std::move(h), n);
    }
    if (block.importance.empty()) block.importance.assign(static_cast<size_t>(n), 1);
    blocks_.push_back(std::move(block));
  }
}

void Compensation::encode_row(int64_t group, const float* x, uint8_t* values,
                              uint8_t* scale) const {
  ZT_CHECK(group > 0 && block_ % group == 0);
  std::vector<float> w(x, x + columns_);
  std::vector<uint8_t> q(static_cast<size_t>(columns_ + 1), 0);
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    const auto n = static_cast<int64_t>(block.importance.size());
    float* const row = w.data() + static_cast<int64_t>(b) * block_;
    uint8_t* const to = q.data() + static_cast<int64_t>(b) * block_;
    float d = 0, inverse = 0;
    for (int64_t j = 0; j < n; ++j) {
      if (j % group == 0) {
        const uint16_t factor =
            group_factor(row + j, block.importance.data() + j, std::min(group, n - j));
        std::memcpy(scale + 2 * ((static_cast<int64_t>(b) * block_ + j) / group), &factor, 2);
        d = f16_to_f32(factor);
        inverse = factor == 0 ? 0 : 1 / d;
      }
      const float whole = std::nearbyint(std::min(std::max(row[j] * inverse, -8.0f), 7.0f));
      to[j] = static_cast<uint8_t>(8 + static_cast<int>(whole));
      if (block.spread.empty()) continue;
      const float* const spread = block.spread.data() + j * n;
      const float error = (row[j] - whole * d) / spread[j];
      for (int64_t k = j + 1; k < n; ++k) row[k] -= error * spread[k];
    }
  }
  for (int64_t i = 0; i < columns_; i += 2)
    values[i / 2] =
        static_cast<uint8_t>(q[static_cast<size_t>(i)] | q[static_cast<size_t>(i + 1)] << 4);
}

}  // namespace zoetrope
