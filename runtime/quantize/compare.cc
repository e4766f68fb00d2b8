#include "runtime/quantize/compare.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "graph/status.h"

namespace zoetrope {
namespace {

constexpr double kEqual = 200;

// Rec. 601, as video's luma.
std::vector<double> luma(std::span<const uint8_t> rgb) {
  std::vector<double> y(rgb.size() / 3);
  for (size_t i = 0; i < y.size(); ++i)
    y[i] = 0.299 * rgb[3 * i] + 0.587 * rgb[3 * i + 1] + 0.114 * rgb[3 * i + 2];
  return y;
}

// Sums over rectangles in constant time: at(r, c) holds those of all before.
class Integral {
 public:
  template <typename F>
  Integral(int64_t height, int64_t width, const F& value)
      : pitch_(width + 1), sums_(static_cast<size_t>((height + 1) * (width + 1)), 0) {
    for (int64_t r = 0; r < height; ++r)
      for (int64_t c = 0; c < width; ++c)
        at(r + 1, c + 1) = value(r * width + c) + at(r, c + 1) + at(r + 1, c) - at(r, c);
  }
  double sum(int64_t r, int64_t c, int64_t rows, int64_t columns) {
    return at(r + rows, c + columns) - at(r, c + columns) - at(r + rows, c) + at(r, c);
  }

 private:
  double& at(int64_t r, int64_t c) { return sums_[static_cast<size_t>(r * pitch_ + c)]; }
  int64_t pitch_;
  std::vector<double> sums_;
};

double frame_ssim(const double* a, const double* b, int64_t height, int64_t width) {
  constexpr double kC1 = (0.01 * 255) * (0.01 * 255), kC2 = (0.03 * 255) * (0.03 * 255);
  const auto of = [&](const auto& f) {
    return Integral(height, width, [&](int64_t i) { return f(a[i], b[i]); });
  };
  Integral sa = of([](double x, double) { return x; }), sb = of([](double, double y) { return y; });
  Integral aa = of([](double x, double) { return x * x; });
  Integral bb = of([](double, double y) { return y * y; });
  Integral ab = of([](double x, double y) { return x * y; });
  const int64_t rows = std::min<int64_t>(7, height), columns = std::min<int64_t>(7, width);
  const auto n = static_cast<double>(rows * columns);
  const double sample = n > 1 ? n / (n - 1) : 1;
  double total = 0;
  for (int64_t r = 0; r + rows <= height; ++r)
    for (int64_t c = 0; c + columns <= width; ++c) {
      const double ma = sa.sum(r, c, rows, columns) / n, mb = sb.sum(r, c, rows, columns) / n;
      const double va = sample * (aa.sum(r, c, rows, columns) / n - ma * ma);
      const double vb = sample * (bb.sum(r, c, rows, columns) / n - mb * mb);
      const double cov = sample * (ab.sum(r, c, rows, columns) / n - ma * mb);
      total +=
          (2 * ma * mb + kC1) * (2 * cov + kC2) / ((ma * ma + mb * mb + kC1) * (va + vb + kC2));
    }
  return total / static_cast<double>((height - rows + 1) * (width - columns + 1));
}

}  // namespace

double clip_psnr(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  ZT_CHECK(a.size() == b.size());
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double off = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    squares += off * off;
  }
  if (squares == 0) return kEqual;
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / squares);
}

double clip_ssim(std::span<const uint8_t> a, std::span<const uint8_t> b, int64_t height,
                 int64_t width) {
  ZT_CHECK(a.size() == b.size());
  const auto frame = static_cast<size_t>(height * width * 3);
  double total = 0;
  int64_t frames = 0;
  for (size_t at = 0; frame > 0 && at + frame <= a.size(); at += frame, ++frames) {
    const std::vector<double> x = luma(a.subspan(at, frame)), y = luma(b.subspan(at, frame));
    total += frame_ssim(x.data(), y.data(), height, width);
  }
  return frames == 0 ? 1 : total / static_cast<double>(frames);
}

double sound_snr(std::span<const float> original, std::span<const float> other) {
  ZT_CHECK(original.size() == other.size());
  double signal = 0, noise = 0;
  for (size_t i = 0; i < original.size(); ++i) {
    const double x = original[i], off = x - other[i];
    signal += x * x;
    noise += off * off;
  }
  if (noise == 0) return kEqual;
  return signal == 0 ? -kEqual : std::max(-kEqual, 10 * std::log10(signal / noise));
}

}  // namespace zoetrope
