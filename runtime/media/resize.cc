#include "runtime/media/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

namespace zoetrope {
namespace {

constexpr double kLobes = 3;

double lanczos(double x) {
  if (x == 0) return 1;
  if (std::abs(x) >= kLobes) return 0;
  const double p = std::numbers::pi * x;
  return kLobes * std::sin(p) * std::sin(p / kLobes) / (p * p);
}

// One axis: output i is the sum of weights[i] times the input from first[i] on.
struct Axis {
  std::vector<int64_t> first;
  std::vector<std::vector<float>> weights;
};

// `count` outputs of the part [begin, begin + length) of `size` inputs. At the edges the filter
// keeps what lies inside the whole input.
Axis make_axis(int64_t size, double begin, double length, int64_t count) {
  Axis axis;
  const double scale = length / static_cast<double>(count), wide = std::max(scale, 1.0);
  for (int64_t i = 0; i < count; ++i) {
    const double centre = begin + (static_cast<double>(i) + 0.5) * scale;
    const auto lo = std::clamp<int64_t>(std::lround(centre - kLobes * wide), 0, size - 1);
    const auto hi = std::clamp<int64_t>(std::lround(centre + kLobes * wide), lo + 1, size);
    std::vector<double> weights;
    double sum = 0;
    for (int64_t k = lo; k < hi; ++k) {
      weights.push_back(lanczos((static_cast<double>(k) + 0.5 - centre) / wide));
      sum += weights.back();
    }
    axis.first.push_back(lo);
    std::vector<float>& to = axis.weights.emplace_back();
    for (double w : weights) to.push_back(static_cast<float>(w / sum));
  }
  return axis;
}

// Blocks of `across` x `down` pixels become their mean; at the right and lower edge they are what
// is left. For sizes many times the target's, as Pillow's reducing_gap.
std::vector<uint8_t> shrink(const std::vector<uint8_t>& rgb, int64_t width, int64_t height,
                            int64_t across, int64_t down) {
  const int64_t w = (width + across - 1) / across, h = (height + down - 1) / down;
  std::vector<uint8_t> out(static_cast<size_t>(w * h * 3));
  std::vector<uint32_t> sums(static_cast<size_t>(width * 3));
  for (int64_t y = 0; y < h; ++y) {
    std::fill(sums.begin(), sums.end(), 0u);
    const int64_t rows = std::min(down, height - y * down);
    for (int64_t k = 0; k < rows; ++k) {
      const uint8_t* from = rgb.data() + (y * down + k) * width * 3;
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += from[i];
    }
    for (int64_t x = 0; x < w; ++x) {
      const int64_t columns = std::min(across, width - x * across);
      const auto count = static_cast<uint64_t>(rows * columns);
      for (int64_t c = 0; c < 3; ++c) {
        uint64_t sum = count / 2;
        for (int64_t k = 0; k < columns; ++k)
          sum += sums[static_cast<size_t>((x * across + k) * 3 + c)];
        out[static_cast<size_t>((y * w + x) * 3 + c)] = static_cast<uint8_t>(sum / count);
      }
    }
  }
  return out;
}

// Along x: [rows, width, 3] to [rows, outputs, 3].
template <typename T>
std::vector<float> filter_rows(const T* in, int64_t width, int64_t rows, const Axis& axis) {
  const auto outputs = static_cast<int64_t>(axis.first.size());
  std::vector<float> out(static_cast<size_t>(rows * outputs * 3));
  float* to = out.data();
  for (int64_t y = 0; y < rows; ++y, in += width * 3)
    for (size_t x = 0; x < axis.first.size(); ++x, to += 3) {
      const T* from = in + axis.first[x] * 3;
      float r = 0, g = 0, b = 0;
      for (const float w : axis.weights[x]) {
        r += w * static_cast<float>(from[0]);
        g += w * static_cast<float>(from[1]);
        b += w * static_cast<float>(from[2]);
        from += 3;
      }
      to[0] = r, to[1] = g, to[2] = b;
    }
  return out;
}

// Along y: [height, width, 3] to [outputs, width, 3].
template <typename T>
std::vector<float> filter_columns(const T* in, int64_t width, const Axis& axis) {
  const auto row = static_cast<size_t>(width * 3);
  std::vector<float> out(axis.first.size() * row);
  for (size_t y = 0; y < axis.first.size(); ++y) {
    float* to = out.data() + y * row;
    const T* from = in + axis.first[y] * width * 3;
    for (const float w : axis.weights[y]) {
      for (size_t i = 0; i < row; ++i) to[i] += w * static_cast<float>(from[i]);
      from += row;
    }
  }
  return out;
}

}  // namespace

Result<Fit> parse_fit(const std::string& name) {
  if (name == "cover") return Fit::kCover;
  if (name == "contain") return Fit::kContain;
  if (name == "stretch") return Fit::kStretch;
  return error(Code::kInvalidArgument, "'", name, "': expected cover, contain or stretch");
}

namespace {

// [height, width, 3] that show `w` x `h` pixels of the original: fewer than there are where the
// last ones stand for less.
std::vector<uint8_t> resize_part(const std::vector<uint8_t>& rgb, int64_t width, int64_t height,
                                 double w, double h, double pixel_aspect, Fit fit,
                                 int64_t out_width, int64_t out_height, Rgb background) {
  // The part of the source that is shown, and the part of the target that it fills.
  double part_w = w, part_h = h;
  int64_t inner_w = out_width, inner_h = out_height;
  const double shape = w * pixel_aspect / h;
  const double wanted = static_cast<double>(out_width) / static_cast<double>(out_height);
  if (fit == Fit::kCover) {
    if (shape > wanted)
      part_w = std::min(w, h * wanted / pixel_aspect);
    else
      part_h = std::min(h, w * pixel_aspect / wanted);
  } else if (fit == Fit::kContain) {
    if (shape > wanted)
      inner_h =
          std::clamp<int64_t>(std::llround(static_cast<double>(out_width) / shape), 1, out_height);
    else
      inner_w =
          std::clamp<int64_t>(std::llround(static_cast<double>(out_height) * shape), 1, out_width);
  }
  constexpr double kGap = 4;  // the filter still sees this many times the target's size
  const auto across = static_cast<int64_t>(part_w / static_cast<double>(inner_w) / kGap);
  const auto down = static_cast<int64_t>(part_h / static_cast<double>(inner_h) / kGap);
  if (across > 1 || down > 1) {
    const int64_t x = std::max<int64_t>(across, 1), y = std::max<int64_t>(down, 1);
    return resize_part(shrink(rgb, width, height, x, y), (width + x - 1) / x, (height + y - 1) / y,
                       w / static_cast<double>(x), h / static_cast<double>(y),
                       pixel_aspect * static_cast<double>(x) / static_cast<double>(y), fit,
                       out_width, out_height, background);
  }
  std::vector<uint8_t> scaled;
  if (part_w == w && part_h == h && inner_w == width && inner_h == height) {
    scaled = rgb;
  } else {
    const Axis across = make_axis(width, (w - part_w) / 2, part_w, inner_w);
    const Axis down = make_axis(height, (h - part_h) / 2, part_h, inner_h);
    // The order with the smaller picture in between.
    std::vector<float> values =
        height * inner_w <= width * inner_h
            ? filter_columns(filter_rows(rgb.data(), width, height, across).data(), inner_w, down)
            : filter_rows(filter_columns(rgb.data(), width, down).data(), width, inner_h, across);
    scaled.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i)
      scaled[i] = static_cast<uint8_t>(std::lrint(std::clamp(values[i], 0.0f, 255.0f)));
  }
  if (inner_w == out_width && inner_h == out_height) return scaled;
  std::vector<uint8_t> out(static_cast<size_t>(out_width * out_height * 3));
  for (size_t i = 0; i < out.size(); i += 3) std::memcpy(&out[i], &background, 3);
  const int64_t left = (out_width - inner_w) / 2, top = (out_height - inner_h) / 2;
  for (int64_t y = 0; y < inner_h; ++y)
    std::memcpy(&out[static_cast<size_t>(((top + y) * out_width + left) * 3)],
                &scaled[static_cast<size_t>(y * inner_w * 3)], static_cast<size_t>(inner_w * 3));
  return out;
}

}  // namespace

std::vector<uint8_t> resize(const std::vector<uint8_t>& rgb, int64_t width, int64_t height,
                            double pixel_aspect, Fit fit, int64_t out_width, int64_t out_height,
                            Rgb background) {
  ZT_CHECK(width > 0 && height > 0 && out_width > 0 && out_height > 0);
  return resize_part(rgb, width, height, static_cast<double>(width), static_cast<double>(height),
                     pixel_aspect, fit, out_width, out_height, background);
}

}  // namespace zoetrope
