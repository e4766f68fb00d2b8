// The bound of attention in 8 bits: what rounds to f8e4m3 as it may is inside, what forgets a tile
// of keys is not. Needs no device that has 8 bits.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "graph/elements.h"
#include "graph/ops/attention.h"
#include "graph/ops/common.h"
#include "graph/tolerance.h"
#include "runtime/backend/registry.h"
#include "tests/conformance/runner.h"

using namespace zoetrope;
using namespace zoetrope::conformance;
using ops::idx;

namespace {

constexpr int64_t kTile = 128;

double to_8_bits(double x) {
  int64_t bits = 0;
  store_element(DType::kF8E4M3, &bits, 0, x);
  return load_element(DType::kF8E4M3, &bits, 0);
}

// `count` rows of `width`, `step` apart, with one factor.
void round_together(double* x, int64_t count, int64_t step, int64_t width) {
  double most = 0;
  for (int64_t r = 0; r < count; ++r)
    for (int64_t i = 0; i < width; ++i) most = std::max(most, std::fabs(x[r * step + i]));
  for (int64_t r = 0; most > 0 && r < count; ++r)
    for (int64_t i = 0; i < width; ++i) {
      double& v = x[r * step + i];
      v = to_8_bits(v * 448 / most) * most / 448;
    }
}

// One sample's keys or values [M, Hkv, D], and what is taken off them: their mean, by column.
std::vector<double> take_mean_off(double* x, int64_t rows, int64_t width) {
  std::vector<double> mean(idx(width), 0);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < width; ++i)
      mean[idx(i)] += x[r * width + i] / static_cast<double>(rows);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < width; ++i) x[r * width + i] -= mean[idx(i)];
  return mean;
}

// As the op's definition lets a kernel round, in double otherwise; without keys [begin, end).
std::vector<double> attend_in_8_bits(const Drawn& drawn, bool rounds, int64_t begin, int64_t end) {
  const auto s = ops::attention_shape(OpContext{drawn.input_pointers, drawn.attrs}, drawn.test.op);
  std::vector<double> q = drawn.values[0].data, k = drawn.values[1].data, v = drawn.values[2].data;
  std::vector<double> out(drawn.expected[0].data.size(), 0), p(idx(s.keys));
  const int64_t d = s.dim, e = s.value_dim, kd = s.kv_heads * d, ve = s.kv_heads * e;
  for (int64_t b = 0; b < s.batch; ++b) {
    int64_t length = s.keys;
    if (drawn.values.size() > 3)
      length = std::clamp<int64_t>(static_cast<int64_t>(drawn.values[3].data[idx(b)]), 0, s.keys);
    double *keys = k.data() + b * s.keys * kd, *values = v.data() + b * s.keys * ve;
    std::vector<double> mean(idx(ve), 0);
    if (rounds && length > 0) {
      take_mean_off(keys, length, kd);
      mean = take_mean_off(values, length, ve);
      for (int64_t t = 0; t < length; t += kTile)
        for (int64_t h = 0; h < s.kv_heads; ++h) {
          const int64_t count = std::min(kTile, length - t);
          round_together(keys + t * kd + h * d, count, kd, d);
          round_together(values + t * ve + h * e, count, ve, e);
        }
    }
    for (int64_t i = 0; i < s.queries; ++i)
      for (int64_t h = 0; h < s.heads; ++h) {
        double* query = q.data() + ((b * s.queries + i) * s.heads + h) * d;
        if (rounds) round_together(query, 1, d, d);
        const int64_t hk = h / s.group();
        const int64_t seen =
            s.causal ? std::clamp<int64_t>(i + s.keys - s.queries + 1, 0, length) : length;
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < seen; ++j) {
          double score = 0;
          for (int64_t x = 0; x < d; ++x) score += query[x] * keys[j * kd + hk * d + x];
          p[idx(j)] = j >= begin && j < end ? -INFINITY : s.scale * score;
          most = std::max(most, p[idx(j)]);
        }
        for (int64_t j = 0; j < seen; ++j) {
          p[idx(j)] = std::isinf(most) ? 0 : std::exp(p[idx(j)] - most);
          sum += p[idx(j)];
        }
        double* y = out.data() + ((b * s.queries + i) * s.heads + h) * e;
        for (int64_t j = 0; j < seen && sum > 0; ++j) {
          const double weight = (rounds ? to_8_bits(p[idx(j)] * 448) / 448 : p[idx(j)]) / sum;
          for (int64_t x = 0; x < e; ++x) y[x] += weight * values[j * ve + hk * e + x];
        }
        for (int64_t x = 0; x < e && sum > 0; ++x) y[x] += mean[idx(hk * e + x)];
      }
  }
  return out;
}

Status judge(Device& device, const Drawn& drawn, const std::vector<double>& output) {
  std::vector<char> bytes(static_cast<size_t>(drawn.types[0].bytes()));
  store_elements(drawn.types[0].dtype, bytes.data(), drawn.types[0].shape.elements(),
                 output.data());
  return conformance::judge(device, drawn, 0, bytes);
}

}  // namespace

TEST_CASE("attention in 8 bits may round q, k, v and probabilities, and may not forget a tile") {
  auto device = open_device("reference", {});
  REQUIRE_MESSAGE(device.ok(), device.status().message());
  int rounded = 0, forgotten = 0;
  for (const Case& test : attention_cases()) {
    if (test.attrs.find("bits") == nullptr) continue;
    CAPTURE(test.label);
    const auto drawn = draw(test, {.compute = DType::kBF16}, 1);
    REQUIRE_MESSAGE(drawn.ok(), drawn.status().message());
    const Status fine = judge(**device, **drawn, attend_in_8_bits(**drawn, true, 0, 0));
    CHECK_MESSAGE(fine.ok(), fine.message());
    ++rounded;
    // Where keys are drawn, no tile is of no weight; values far from zero hide it.
    const int64_t keys = test.inputs[1].shape[1];
    if (keys < 2 * kTile || !test.inputs[1].values.empty() || test.inputs[2].lo > 0) continue;
    const int64_t last = keys / kTile - 1;
    for (const int64_t tile : {int64_t{0}, int64_t{1}, last}) {
      CAPTURE(tile);
      const auto lacks = attend_in_8_bits(**drawn, false, tile * kTile, (tile + 1) * kTile);
      CHECK_FALSE(judge(**device, **drawn, lacks).ok());
      ++forgotten;
    }
  }
  CHECK(rounded >= 10);
  CHECK(forgotten >= 18);
}

namespace {

// Tensor cores' sum of products of f8e4m3: 32 at a time, cut off 13 bits below the largest of them
// and of what is summed so far.
double cut_sum(const std::vector<double>& products) {
  double sum = 0;
  for (size_t k = 0; k < products.size(); k += 32) {
    double largest = std::fabs(sum);
    for (size_t i = k; i < k + 32; ++i) largest = std::max(largest, std::fabs(products[i]));
    int exponent = 0;
    std::frexp(largest, &exponent);
    const double unit = std::ldexp(1.0, exponent - 14);
    sum = std::trunc(sum / unit) * unit;
    for (size_t i = k; i < k + 32; ++i) sum += std::trunc(products[i] / unit) * unit;
  }
  return sum;
}

}  // namespace

TEST_CASE(
    "what tensor cores cut off sums of f8e4m3 is inside, one by one and in all, a forgotten part "
    "is not") {
  std::mt19937_64 random(std::random_device{}());
  for (const int64_t depth : {2048, 6144})
    for (const double least : {-4.0, 3.6}) {  // signs at random; one sign
      CAPTURE(depth);
      CAPTURE(least);
      std::uniform_real_distribution<double> draw(least, 4);
      constexpr size_t kSums = 200;
      // Of one sign less is not told from what is cut off.
      const int64_t forgotten_depth = least < 0 ? 128 : depth / 4;
      std::vector<double> exact(kSums), cut(kSums), without(kSums), summed(kSums);
      double squares = 0;
      for (size_t s = 0; s < kSums; ++s) {
        std::vector<double> products(static_cast<size_t>(depth));
        for (double& p : products) p = to_8_bits(draw(random)) * to_8_bits(draw(random));
        for (double p : products) exact[s] += p, summed[s] += std::fabs(p);
        cut[s] = cut_sum(products);
        without[s] = std::accumulate(products.begin() + forgotten_depth, products.end(), 0.0);
        squares += exact[s] * exact[s] / kSums;
      }
      double errors = 0, forgotten_part = 0, of_one_sign = 0;
      for (size_t s = 0; s < kSums; ++s) {
        errors += (cut[s] - exact[s]) * (cut[s] - exact[s]) / kSums;
        forgotten_part += (without[s] - exact[s]) * (without[s] - exact[s]) / kSums;
        of_one_sign += std::pow(exact[s], 6) / std::pow(summed[s], 4) / kSums;
      }
      const double spread =
          ErrorBound::spread_by_tensor_cores(depth, std::sqrt(of_one_sign / squares));
      CHECK(std::sqrt(errors / squares) <= spread);
      CHECK(std::sqrt(forgotten_part / squares) > spread);
      size_t forgotten = 0;
      for (size_t s = 0; s < kSums; ++s) {
        const double limit =
            ErrorBound::lost_by_tensor_cores(depth, std::sqrt(squares), exact[s], summed[s]);
        CHECK(std::fabs(cut[s] - exact[s]) <= limit);
        forgotten += std::fabs(without[s] - exact[s]) > limit ? 1 : 0;
      }
      CHECK(forgotten > kSums / 2);
    }
}
