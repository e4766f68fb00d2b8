#include "runtime/engine/stages/bicubic.h"

#include <algorithm>
#include <cmath>

namespace zoetrope {
namespace {

double cubic(double x, double a) {
  x = std::fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// The pixels that one output pixel is made of, and their weights.
struct Taps {
  std::vector<int64_t> at;
  std::vector<double> weights;
};

// Of outputs [first, first + count) among `to`.
std::vector<Taps> make_taps(int64_t from, int64_t to, int64_t first, int64_t count,
                            bool antialias) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  std::vector<Taps> all(static_cast<size_t>(count));
  for (int64_t i = first; i < first + count; ++i) {
    Taps& taps = all[static_cast<size_t>(i - first)];
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    if (antialias) {
      const double wide = std::max(scale, 1.0), support = 2 * wide;
      const auto begin = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
      const auto end = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), from);
      double sum = 0;
      for (int64_t k = begin; k < end; ++k) {
        taps.at.push_back(k);
        taps.weights.push_back(cubic((static_cast<double>(k) - centre + 0.5) / wide, -0.5));
        sum += taps.weights.back();
      }
      for (double& w : taps.weights) w /= sum;
    } else {
      const double left = std::floor(centre - 0.5);
      for (int k = -1; k < 3; ++k) {
        taps.at.push_back(std::clamp<int64_t>(static_cast<int64_t>(left) + k, 0, from - 1));
        taps.weights.push_back(cubic(centre - 0.5 - left - k, -0.75));
      }
    }
  }
  return all;
}

}  // namespace

std::vector<float> resize_bicubic(const Picture& picture, const BicubicSpec& s) {
  const auto finish = [&](double x) {
    return static_cast<float>(s.antialias ? std::clamp(std::floor(x + 0.5), 0.0, 255.0) : x);
  };
  const std::vector<Taps> columns =
                              make_taps(picture.width, s.width, s.left, s.columns, s.antialias),
                          rows = make_taps(picture.height, s.height, s.top, s.rows, s.antialias);
  std::vector<float> across(static_cast<size_t>(picture.height * s.columns * 3)),
      out(static_cast<size_t>(s.rows * s.columns * 3));
  for (int64_t y = 0; y < picture.height; ++y)
    for (int64_t x = 0; x < s.columns; ++x)
      for (int64_t c = 0; c < 3; ++c) {
        const Taps& taps = columns[static_cast<size_t>(x)];
        double sum = 0;
        for (size_t k = 0; k < taps.at.size(); ++k)
          sum += taps.weights[k] * picture.pixels[(y * picture.width + taps.at[k]) * 3 + c];
        across[static_cast<size_t>((y * s.columns + x) * 3 + c)] = finish(sum);
      }
  for (int64_t y = 0; y < s.rows; ++y)
    for (int64_t x = 0; x < s.columns * 3; ++x) {
      const Taps& taps = rows[static_cast<size_t>(y)];
      double sum = 0;
      for (size_t k = 0; k < taps.at.size(); ++k)
        sum += taps.weights[k] * across[static_cast<size_t>(taps.at[k] * s.columns * 3 + x)];
      out[static_cast<size_t>(y * s.columns * 3 + x)] = finish(sum);
    }
  return out;
}

}  // namespace zoetrope
