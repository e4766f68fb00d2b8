#include "runtime/verify/quality.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace zoetrope {
namespace {

constexpr int64_t kReach = 5;  // of the window to each side

double decibels(double signal, double noise) {
  if (noise == 0) return kSameDecibels;
  return signal > 0 && noise > 0
             ? std::clamp(10 * std::log10(signal / noise), -kSameDecibels, kSameDecibels)
             : -kSameDecibels;
}

std::vector<double> luma(std::span<const uint8_t> rgb) {
  std::vector<double> y(rgb.size() / 3);
  for (size_t i = 0; i < y.size(); ++i)
    y[i] = 0.299 * rgb[3 * i] + 0.587 * rgb[3 * i + 1] + 0.114 * rgb[3 * i + 2];
  return y;
}

// Weighted means over the window of every place where it lies within the picture.
std::vector<double> blur(const std::vector<double>& x, int64_t height, int64_t width) {
  std::array<double, 2 * kReach + 1> weights;
  double sum = 0;
  for (int64_t i = -kReach; i <= kReach; ++i)
    sum += weights[static_cast<size_t>(i + kReach)] =
        std::exp(-static_cast<double>(i * i) / (2 * 1.5 * 1.5));
  for (double& w : weights) w /= sum;
  const int64_t w = width - 2 * kReach, h = height - 2 * kReach;
  std::vector<double> rows(static_cast<size_t>(height * w)), out(static_cast<size_t>(h * w));
  for (int64_t y = 0; y < height; ++y)
    for (int64_t i = 0; i < w; ++i) {
      double v = 0;
      for (size_t k = 0; k < weights.size(); ++k)
        v += weights[k] * x[static_cast<size_t>(y * width + i) + k];
      rows[static_cast<size_t>(y * w + i)] = v;
    }
  for (int64_t y = 0; y < h; ++y)
    for (size_t k = 0; k < weights.size(); ++k)
      for (int64_t i = 0; i < w; ++i)
        out[static_cast<size_t>(y * w + i)] +=
            weights[k] *
            rows[(static_cast<size_t>(y) + k) * static_cast<size_t>(w) + static_cast<size_t>(i)];
  return out;
}

std::vector<double> mean_of(const std::vector<double>& x, int64_t height, int64_t width) {
  if (height > 2 * kReach && width > 2 * kReach) return blur(x, height, width);
  double sum = 0;
  for (double v : x) sum += v;
  return {sum / static_cast<double>(x.size())};
}

std::vector<double> product(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> out(a.size());
  for (size_t i = 0; i < a.size(); ++i) out[i] = a[i] * b[i];
  return out;
}

}  // namespace

double psnr_u8(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  ZT_CHECK(a.size() == b.size());
  int64_t squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const int64_t off = int64_t{a[i]} - b[i];
    squares += off * off;
  }
  return decibels(255.0 * 255.0 * static_cast<double>(a.size()), static_cast<double>(squares));
}

double ssim_rgb(std::span<const uint8_t> a, std::span<const uint8_t> b, int64_t height,
                int64_t width) {
  ZT_CHECK(a.size() == b.size() && static_cast<int64_t>(a.size()) == height * width * 3);
  constexpr double kC1 = (0.01 * 255) * (0.01 * 255), kC2 = (0.03 * 255) * (0.03 * 255);
  const std::vector<double> x = luma(a), y = luma(b);
  const auto mx = mean_of(x, height, width), my = mean_of(y, height, width),
             xx = mean_of(product(x, x), height, width), yy = mean_of(product(y, y), height, width),
             xy = mean_of(product(x, y), height, width);
  double sum = 0;
  for (size_t i = 0; i < mx.size(); ++i) {
    const double vx = xx[i] - mx[i] * mx[i], vy = yy[i] - my[i] * my[i], c = xy[i] - mx[i] * my[i];
    sum += (2 * mx[i] * my[i] + kC1) * (2 * c + kC2) /
           ((mx[i] * mx[i] + my[i] * my[i] + kC1) * (vx + vy + kC2));
  }
  return std::clamp(sum / static_cast<double>(mx.size()), -1.0, 1.0);  // rounding aside
}

double ssim_frames(std::span<const uint8_t> a, std::span<const uint8_t> b, int64_t height,
                   int64_t width) {
  ZT_CHECK(a.size() == b.size());
  const auto bytes = static_cast<size_t>(height * width * 3);
  const size_t frames = bytes == 0 ? 0 : a.size() / bytes;
  double sum = 0;
  for (size_t f = 0; f < frames; ++f)
    sum += ssim_rgb(a.subspan(f * bytes, bytes), b.subspan(f * bytes, bytes), height, width);
  return frames == 0 ? 1 : sum / static_cast<double>(frames);
}

double snr(std::span<const float> a, std::span<const float> b) {
  ZT_CHECK(a.size() == b.size());
  double signal = 0, noise = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double off = static_cast<double>(a[i]) - b[i];
    signal += static_cast<double>(b[i]) * b[i];
    noise += off * off;
  }
  return decibels(signal, noise);
}

}  // namespace zoetrope
