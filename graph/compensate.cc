#include "graph/compensate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "graph/dtype.h"
#include "graph/parallel_rows.h"
#include "graph/status.h"
#include "graph/weight_format.h"

namespace zoetrope {
namespace {

constexpr int64_t kTile = 8;  // sums of half as many columns by as many fit any machine's registers

// sums[i, j] += Σ over rows x of x[i]·x[j], from the tile's corner on.
template <typename Height, typename Width>
void add_tile(const std::vector<const float*>& rows, int64_t i, int64_t j, Height height,
              Width width, float* sums, int64_t stride) {
  float tile[kTile / 2][kTile] = {};
  for (const float* x : rows)
    for (int64_t r = 0; r < height; ++r)
      for (int64_t c = 0; c < width; ++c) tile[r][c] += x[i + r] * x[j + c];
  for (int64_t r = 0; r < height; ++r)
    for (int64_t c = 0; c < width; ++c) sums[r * stride + c] += tile[r][c];
}

}  // namespace

void RowMoments::add(const float* rows, int64_t count) {
  std::vector<const float*> finite;
  for (int64_t r = 0; r < count; ++r) {
    const float* const x = rows + r * columns_;
    if (std::all_of(x, x + columns_, [](float v) { return std::isfinite(v); })) finite.push_back(x);
  }
  if (finite.empty()) return;
  rows_ += static_cast<int64_t>(finite.size());
  if (sums_.empty()) sums_.assign(static_cast<size_t>(blocks() * block_ * block_), 0);
  constexpr std::integral_constant<int64_t, kTile / 2> full_height;
  constexpr std::integral_constant<int64_t, kTile> full_width;
  const int64_t block_strips = (block_ + full_height - 1) / full_height;
  const int64_t strips = blocks() * block_strips;
  for_rows(strips, row_parts(strips, 4), [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      // Long strips and short ones in turn: threads get equal work.
      const int64_t strip = at % 2 == 0 ? at / 2 : strips - 1 - at / 2;
      const int64_t b = strip / block_strips, i = strip % block_strips * full_height;
      const int64_t first = b * block_, height = std::min<int64_t>(full_height, width(b) - i);
      for (int64_t j = i; j < width(b); j += kTile) {
        float* const sums = sums_.data() + (first + i) * block_ + j;
        const int64_t wide = std::min(kTile, width(b) - j);
        if (height == full_height && wide == kTile)
          add_tile(finite, first + i, first + j, full_height, full_width, sums, block_);
        else
          add_tile(finite, first + i, first + j, height, wide, sums, block_);
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
    block.width = n;
    if (mean > 0 && std::isfinite(mean) && moments.rows() >= 2 * n) {
      std::vector<double> h(static_cast<size_t>(n * n));
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j)
          h[static_cast<size_t>(i * n + j)] = moments.sum(b, i, j) / mean + (i == j ? 0.01 : 0);
      block.h.assign(h.begin(), h.end());
      block.spread = spread_of(std::move(h), n);
    }
    blocks_.push_back(std::move(block));
  }
}

// A block of a row: whole numbers from −8 to 7, and what the numbers of each group are multiplied
// by.
struct Compensation::Rounded {
  Rounded(int64_t count, int64_t group_size)
      : n(count),
        group(group_size),
        whole(static_cast<size_t>(n)),
        factors(static_cast<size_t>((n + group - 1) / group)) {}

  int64_t groups() const { return static_cast<int64_t>(factors.size()); }
  int64_t begin(int64_t g) const { return g * group; }
  int64_t end(int64_t g) const { return std::min(n, begin(g) + group); }
  float factor(int64_t g) const { return f16_to_f32(factors[static_cast<size_t>(g)]); }

  const int64_t n, group;
  std::vector<float> whole;
  std::vector<uint16_t> factors;  // f16
};

void Compensation::round_in_turn(const Block& block, const float* x, Rounded* r) {
  std::vector<float> row(x, x + r->n), importance;  // columns' mean squares; empty: not known
  for (int64_t j = 0; j < r->n && !block.h.empty(); ++j)
    importance.push_back(block.h[static_cast<size_t>(j * r->n + j)]);
  for (int64_t g = 0; g < r->groups(); ++g) {
    const int64_t begin = r->begin(g), end = r->end(g);
    r->factors[static_cast<size_t>(g)] = group_factor(
        row.data() + begin, importance.empty() ? nullptr : importance.data() + begin, end - begin);
    const float d = r->factor(g), inverse = d == 0 ? 0 : 1 / d;
    for (int64_t j = begin; j < end; ++j) {
      float& w = row[static_cast<size_t>(j)];
      const float whole = round_int4(w * inverse);
      r->whole[static_cast<size_t>(j)] = whole;
      if (block.spread.empty()) continue;
      const float* const spread = block.spread.data() + j * r->n;
      const float error = (w - whole * d) / spread[j];
      for (int64_t k = j + 1; k < r->n; ++k) row[static_cast<size_t>(k)] -= error * spread[k];
    }
  }
}

namespace {

// What the squared error eᵀHe of the outputs falls by when e = w − ŵ changes: all by slope = He.
struct Slope {
  Slope(const std::vector<float>& matrix, const float* error, int64_t count)
      : h(matrix.data()), n(count), slope(static_cast<size_t>(n), 0) {
    for (int64_t j = 0; j < n; ++j) move(j, -error[j]);
  }
  // ŵ[j] grows by `by`.
  void move(int64_t j, float by) {
    if (by == 0) return;
    const float* const row = h + j * n;
    for (int64_t k = 0; k < n; ++k) slope[static_cast<size_t>(k)] -= by * row[k];
  }
  float at(int64_t j) const { return slope[static_cast<size_t>(j)]; }
  float curve(int64_t j) const { return h[j * n + j]; }
  // qᵀHq of the columns from `begin` to `end` alone.
  float curve(const float* q, int64_t begin, int64_t end) {
    product.assign(static_cast<size_t>(end - begin), 0);
    float* const to = product.data();
    for (int64_t i = begin; i < end; ++i) {
      const float* const row = h + i * n + begin;
      for (int64_t j = 0; j < end - begin; ++j) to[j] += q[i] * row[j];
    }
    float total = 0;
    for (int64_t j = 0; j < end - begin; ++j) total += q[begin + j] * to[j];
    return total;
  }

  const float* const h;
  const int64_t n;
  std::vector<float> slope, product;
};

// Moving by s along a line lowers the error by 2·s·along − s²·curve.
bool lowers(float s, float along, float curve) { return 2 * s * along > s * s * curve; }

}  // namespace

void Compensation::improve(const Block& block, const float* x, Rounded* r) {
  std::vector<float> error(x, x + r->n);
  for (int64_t j = 0; j < r->n; ++j)
    error[static_cast<size_t>(j)] -= r->whole[static_cast<size_t>(j)] * r->factor(j / r->group);
  Slope slope(block.h, error.data(), r->n);
  std::vector<float> curves(r->factors.size(), -1);  // of groups; negative: of other numbers
  bool changed = true;
  for (int round = 0; round < kImprovements && changed; ++round) {
    changed = false;
    for (int64_t g = 0; g < r->groups(); ++g) {
      const int64_t begin = r->begin(g), end = r->end(g);
      const float* const q = r->whole.data();
      float along = 0, &curve = curves[static_cast<size_t>(g)];
      for (int64_t j = begin; j < end; ++j) along += q[j] * slope.at(j);
      if (curve < 0) curve = std::max(slope.curve(q, begin, end), 0.0f);
      float d = r->factor(g);
      const uint16_t fitted = curve > 0 ? f32_to_f16(d + along / curve) : 0;
      const float by = f16_to_f32(fitted) - d;
      if (fitted != 0 && std::isfinite(by) && lowers(by, along, curve)) {
        r->factors[static_cast<size_t>(g)] = fitted;
        for (int64_t j = begin; j < end; ++j) slope.move(j, by * q[j]);
        d += by;
        changed = true;
      }
      if (d == 0) continue;
      for (int64_t j = begin; j < end; ++j) {
        float& whole = r->whole[static_cast<size_t>(j)];
        const float next = round_int4(whole + slope.at(j) / (slope.curve(j) * d));
        const float step = (next - whole) * d;
        if (!lowers(step, slope.at(j), slope.curve(j))) continue;
        whole = next;
        slope.move(j, step);
        curve = -1;
        changed = true;
      }
    }
  }
}

void Compensation::encode_row(int64_t group, const float* x, uint8_t* values,
                              uint8_t* scale) const {
  ZT_CHECK(group > 0 && block_ % group == 0);
  std::vector<float> whole;
  whole.reserve(static_cast<size_t>(columns_));
  int64_t begin = 0;
  for (const Block& block : blocks_) {
    Rounded rounded(block.width, group);
    round_in_turn(block, x + begin, &rounded);
    if (!block.spread.empty()) improve(block, x + begin, &rounded);
    std::memcpy(scale + 2 * (begin / group), rounded.factors.data(), rounded.factors.size() * 2);
    whole.insert(whole.end(), rounded.whole.begin(), rounded.whole.end());
    begin += rounded.n;
  }
  pack_int4_row(whole.data(), columns_, values);
}

}  // namespace zoetrope
