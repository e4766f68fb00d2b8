// Rounding that makes up for itself: against the formula of one step, and by what it is for.
#include "graph/compensate.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "graph/dtype.h"
#include "graph/ops/dequantize.h"
#include "graph/weight_format.h"

using namespace zoetrope;

namespace {

std::vector<float> decoded(const std::vector<uint8_t>& values, const std::vector<uint8_t>& scale,
                           int64_t columns, int64_t group) {
  const auto shape = ops::dequantize_shape(
      {{"dims", std::vector<Dim>{1, columns}}, {"bits", Dim(4)}, {"group", Dim(group)}});
  REQUIRE(shape.ok());
  std::vector<float> y(static_cast<size_t>(columns));
  decode_row(*shape, {DType::kU8, DType::kF16, DType::kF32, values.data(), scale.data(), nullptr},
             0, y.data());
  return y;
}

struct Encoded {
  std::vector<uint8_t> values, scale;
  Encoded(int64_t columns, int64_t group)
      : values(static_cast<size_t>((columns + 1) / 2)),
        scale(static_cast<size_t>((columns + group - 1) / group * 2)) {}
  bool operator==(const Encoded&) const = default;
};

Encoded plain(const std::vector<float>& x, int64_t group) {
  Encoded e(static_cast<int64_t>(x.size()), group);
  encode_rows(WeightFormat::kInt4, group, x.data(), 1, static_cast<int64_t>(x.size()),
              e.values.data(), e.scale.data());
  return e;
}

Encoded compensated(const RowMoments& moments, const std::vector<float>& x, int64_t group) {
  Encoded e(static_cast<int64_t>(x.size()), group);
  Compensation(moments).encode_row(group, x.data(), e.values.data(), e.scale.data());
  return e;
}

// Rows whose neighbours are alike: x[j] = 0.95·x[j − 1] + noise.
std::vector<float> alike_rows(int64_t count, int64_t columns, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> rows;
  for (int64_t r = 0; r < count; ++r) {
    float x = normal(random);
    for (int64_t j = 0; j < columns; ++j) rows.push_back(x = 0.95f * x + 0.3f * normal(random));
  }
  return rows;
}

// Σ over rows of (x·(w − ŵ))²
double output_error(const std::vector<float>& rows, const std::vector<float>& w,
                    const std::vector<float>& got) {
  double total = 0;
  for (size_t at = 0; at < rows.size(); at += w.size()) {
    double off = 0;
    for (size_t j = 0; j < w.size(); ++j)
      off += static_cast<double>(rows[at + j]) *
             (static_cast<double>(w[j]) - static_cast<double>(got[j]));
    total += off * off;
  }
  return total;
}

}  // namespace

TEST_CASE("columns that have nothing to do with each other are rounded as without moments") {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> w(70), rows(70 * 70, 0.0f);
  for (float& v : w) v = normal(random);
  for (size_t i = 0; i < 70; ++i) rows[i * 70 + i] = 3;
  RowMoments moments(70, 64);
  CHECK(compensated(moments, w, 32) == plain(w, 32));  // nothing was seen
  for (int i = 0; i < 2; ++i) moments.add(rows.data(), 70);
  CHECK(moments.sum(0, 5, 5) == 18);
  CHECK(moments.sum(1, 0, 1) == 0);
  CHECK(compensated(moments, w, 32) == plain(w, 32));
}

TEST_CASE("an error moves to the next column by the ratio of their moments") {
  // Of columns 30 and 31, which alone have to do with each other: once q30 is fixed,
  // w31 + (w30 − q30)·H / H31 minimises the error of the outputs, with a hundredth of the mean
  // square on the diagonal.
  constexpr size_t kColumns = 32, kA = 30, kB = 31;
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  int moved = 0;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<float> rows(kColumns * kColumns, 0.0f);
    for (size_t i = 0; i < kColumns; ++i) rows[i * kColumns + i] = 1;
    rows[kA * kColumns + kB] = normal(random);
    rows[kB * kColumns + kA] = normal(random);
    RowMoments moments(kColumns, kColumns);
    for (int i = 0; i < 2; ++i) moments.add(rows.data(), kColumns);
    const double a = static_cast<double>(rows[kA * kColumns + kB]);
    const double b = static_cast<double>(rows[kB * kColumns + kA]);
    const double haa = 2 * (1 + b * b), hab = 2 * (a + b), hbb = 2 * (1 + a * a);
    CHECK(moments.sum(0, kA, kA) == doctest::Approx(haa));
    CHECK(moments.sum(0, kB, kA) == doctest::Approx(hab));
    CHECK(moments.sum(0, kB, kB) == doctest::Approx(hbb));
    const double little = 0.01 * (30 * 2 + haa + hbb) / 32;

    std::vector<float> w(kColumns);
    for (float& v : w) v = normal(random);
    const Encoded e = compensated(moments, w, 32);
    uint16_t half;
    std::memcpy(&half, e.scale.data(), 2);
    const auto d = static_cast<double>(f16_to_f32(half));
    const double qa = (e.values[kA / 2] & 15) - 8, qb = (e.values[kA / 2] >> 4) - 8;
    const auto wa = static_cast<double>(w[kA]), wb = static_cast<double>(w[kB]);
    // The same holds the other way round.
    const auto off = [](double q, double wanted) {
      return std::abs(q - std::clamp(wanted, -8.0, 7.0));
    };
    CHECK(off(qa, (wa + (wb - qb * d) * hab / (haa + little)) / d) <= 0.5 + 1e-3);
    CHECK(off(qb, (wb + (wa - qa * d) * hab / (hbb + little)) / d) <= 0.5 + 1e-3);
    moved += off(qb, wb / d) > 0.5 + 1e-3;
  }
  CHECK(moved > 20);
}

TEST_CASE("outputs come nearer, weights that never matter are bounded, blocks and ends are odd") {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const auto& [columns, block, group] :
       {std::tuple<int64_t, int64_t, int64_t>{200, 128, 32}, {97, 128, 64}, {256, 64, 64}}) {
    CAPTURE(columns);
    std::vector<float> rows = alike_rows(300, columns, random);
    for (size_t at = 0; at < rows.size(); at += static_cast<size_t>(columns)) rows[at + 3] = 0;
    RowMoments moments(columns, block);
    moments.add(rows.data(), 200);
    moments.add(rows.data() + 200 * columns, 100);
    double before = 0, after = 0;
    for (int trial = 0; trial < 8; ++trial) {
      std::vector<float> w(static_cast<size_t>(columns));
      for (float& v : w) v = normal(random);
      const Encoded a = plain(w, group), b = compensated(moments, w, group);
      before += output_error(rows, w, decoded(a.values, a.scale, columns, group));
      const std::vector<float> got = decoded(b.values, b.scale, columns, group);
      after += output_error(rows, w, got);
      CHECK(std::abs(got[3] - w[3]) < 1);
    }
    CHECK(after < 0.5 * before);
  }
}

// eᵀHe of one block in double: H as Compensation takes it, a hundredth of the mean on its diagonal.
struct Quadratic {
  explicit Quadratic(const RowMoments& moments)
      : n(static_cast<size_t>(moments.columns())), h(n * n) {
    double mean = 0;
    for (size_t i = 0; i < n; ++i) mean += at(moments, i, i) / static_cast<double>(n);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) h[i * n + j] = at(moments, i, j) + (i == j ? 0.01 * mean : 0);
  }
  double of(const std::vector<double>& e) const {
    double total = 0;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) total += e[i] * h[i * n + j] * e[j];
    return total;
  }
  static double at(const RowMoments& moments, size_t i, size_t j) {
    return static_cast<double>(moments.sum(0, static_cast<int64_t>(i), static_cast<int64_t>(j)));
  }
  size_t n;
  std::vector<double> h;
};

TEST_CASE("no other number of one column, and no other factor of one group, is better") {
  constexpr size_t kColumns = 24, kGroup = 8;
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  const std::vector<float> rows = alike_rows(100, kColumns, random);
  RowMoments moments(kColumns, kColumns);
  moments.add(rows.data(), 100);
  const Quadratic error(moments);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<float> w(kColumns);
    for (float& v : w) v = normal(random);
    const Encoded e = compensated(moments, w, kGroup);
    std::vector<double> q(kColumns), factors(kColumns / kGroup);
    for (size_t g = 0; g < factors.size(); ++g) {
      uint16_t half;
      std::memcpy(&half, e.scale.data() + 2 * g, 2);
      factors[g] = static_cast<double>(f16_to_f32(half));
    }
    for (size_t j = 0; j < kColumns; ++j)
      q[j] = (j % 2 == 0 ? e.values[j / 2] & 15 : e.values[j / 2] >> 4) - 8;
    const auto cost = [&] {
      std::vector<double> off(kColumns);
      for (size_t j = 0; j < kColumns; ++j)
        off[j] = static_cast<double>(w[j]) - q[j] * factors[j / kGroup];
      return error.of(off);
    };
    const double reached = cost(), least = reached * (1 - 1e-4);
    for (double& number : q) {
      const double was = number;
      for (number = -8; number < 8; ++number) CHECK(cost() > least);
      number = was;
    }
    for (double& factor : factors) {
      const double was = factor;
      for (uint32_t half = 0; half < 0x10000; half += 1) {
        factor = static_cast<double>(f16_to_f32(static_cast<uint16_t>(half)));
        if (std::isfinite(factor) && !(cost() > least)) FAIL_CHECK("factor ", factor, " is better");
      }
      factor = was;
    }
  }
}

TEST_CASE("moments are the sums of products, whatever the width and however rows come") {
  std::mt19937 random(6);
  for (const auto& [columns, block] : {std::pair<int64_t, int64_t>{200, 128}, {97, 128}, {3, 64}}) {
    CAPTURE(columns);
    const std::vector<float> rows = alike_rows(33, columns, random);
    RowMoments moments(columns, block);
    moments.add(rows.data(), 20);
    moments.add(rows.data() + 20 * columns, 13);
    for (int64_t b = 0; b < moments.blocks(); ++b)
      for (int64_t i = 0; i < moments.width(b); ++i)
        for (int64_t j = 0; j < moments.width(b); ++j) {
          double sum = 0, size = 0;
          for (int64_t r = 0; r < 33; ++r) {
            const float* const x = rows.data() + r * columns + b * block;
            const double product = static_cast<double>(x[i]) * static_cast<double>(x[j]);
            sum += product;
            size += std::abs(product);
          }
          CHECK(std::abs(moments.sum(b, i, j) - sum) <= 1e-5 * size);
        }
  }
}

TEST_CASE("too few rows decide nothing, and rows that are not finite are not seen") {
  std::mt19937 random(4);
  const std::vector<float> seen = alike_rows(63, 32, random), w = alike_rows(1, 32, random);
  RowMoments few(32, 32);
  few.add(seen.data(), 63);
  CHECK(compensated(few, w, 32) == plain(w, 32));
  few.add(seen.data(), 1);
  CHECK(compensated(few, w, 32) != plain(w, 32));

  RowMoments moments(2, 2);
  const std::vector<float> rows{1, 2, NAN, 1, 3, INFINITY};
  moments.add(rows.data(), 3);
  CHECK(moments.rows() == 1);
  CHECK(moments.sum(0, 0, 0) == 1);
  CHECK(moments.sum(0, 1, 1) == 4);
}
