#include "runtime/media/icc.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

// XYZ of ICC's D50 to linear BT.709 (Bradford).
constexpr double kFromXyz[3][3] = {{3.1338561, -1.6168667, -0.4906146},
                                   {-0.9787684, 1.9161415, 0.0334540},
                                   {0.0719453, -0.2289914, 1.4052427}};

uint32_t be(Bytes b, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count && at + i < b.size(); ++i) value = value << 8 | b[at + i];
  return value;
}

double fixed(Bytes b, size_t at) { return static_cast<int32_t>(be(b, at, 4)) / 65536.0; }

bool is(Bytes b, size_t at, std::string_view text) {
  return at + text.size() <= b.size() && std::memcmp(b.data() + at, text.data(), text.size()) == 0;
}

Bytes find_tag(Bytes profile, std::string_view name) {
  const size_t count = std::min<size_t>(be(profile, 128, 4), 256);
  for (size_t i = 0; i < count; ++i) {
    const size_t entry = 132 + 12 * i;
    if (!is(profile, entry, name)) continue;
    const size_t at = be(profile, entry + 4, 4), length = be(profile, entry + 8, 4);
    if (at > profile.size() || length > profile.size() - at) return {};
    return profile.subspan(at, length);
  }
  return {};
}

// ICC.1, 10.18: functions of one to seven parameters g a b c d e f.
double parametric(int kind, const double* p, double x) {
  const auto power = [&](double base) { return base > 0 ? std::pow(base, p[0]) : 0.0; };
  switch (kind) {
    case 0: return power(x);
    case 1: return x >= -p[2] / p[1] ? power(p[1] * x + p[2]) : 0;
    case 2: return x >= -p[2] / p[1] ? power(p[1] * x + p[2]) + p[3] : p[3];
    case 3: return x >= p[4] ? power(p[1] * x + p[2]) : p[3] * x;
    default: return x >= p[4] ? power(p[1] * x + p[2]) + p[5] : p[3] * x + p[6];
  }
}

std::optional<std::vector<float>> read_curve(Bytes tag) {
  std::vector<float> curve(65536);
  const auto fill = [&](const auto& light) {
    for (size_t i = 0; i < curve.size(); ++i) {
      const double value = light(static_cast<double>(i) / 65535);
      if (!std::isfinite(value)) return false;
      curve[i] = static_cast<float>(std::clamp(value, 0.0, 1.0));
    }
    return true;
  };
  if (is(tag, 0, "para")) {
    constexpr size_t kParameters[] = {1, 3, 4, 5, 7};
    const uint32_t kind = be(tag, 8, 2);
    if (kind > 4 || tag.size() < 12 + 4 * kParameters[kind]) return std::nullopt;
    double p[7] = {};
    for (size_t i = 0; i < kParameters[kind]; ++i) p[i] = fixed(tag, 12 + 4 * i);
    if (!fill([&](double x) { return parametric(static_cast<int>(kind), p, x); }))
      return std::nullopt;
    return curve;
  }
  if (!is(tag, 0, "curv") || tag.size() < 12) return std::nullopt;
  const size_t count = be(tag, 8, 4);
  if (count > (tag.size() - 12) / 2) return std::nullopt;
  const double gamma = count == 1 ? be(tag, 12, 2) / 256.0 : 1;
  fill([&](double x) {
    if (count < 2) return std::pow(x, gamma);
    const double at = x * static_cast<double>(count - 1);
    const auto low = std::min(static_cast<size_t>(at), count - 2);
    const double a = be(tag, 12 + 2 * low, 2), b = be(tag, 14 + 2 * low, 2);
    return (a + (b - a) * (at - static_cast<double>(low))) / 65535;
  });
  return curve;
}

double srgb_code(double light) {
  return light <= 0.0031308 ? light * 12.92 : 1.055 * std::pow(light, 1 / 2.4) - 0.055;
}

}  // namespace

std::optional<IccProfile> parse_icc(Bytes bytes) {
  if (bytes.size() < 132 || !is(bytes, 36, "acsp") || !is(bytes, 16, "RGB XYZ ") ||
      !find_tag(bytes, "A2B0").empty())  // a table comes before primaries
    return std::nullopt;
  IccProfile profile;
  constexpr std::string_view kColumns[] = {"rXYZ", "gXYZ", "bXYZ"};
  constexpr std::string_view kCurves[] = {"rTRC", "gTRC", "bTRC"};
  for (size_t c = 0; c < 3; ++c) {
    const Bytes xyz = find_tag(bytes, kColumns[c]);
    auto curve = read_curve(find_tag(bytes, kCurves[c]));
    if (xyz.size() < 20 || !is(xyz, 0, "XYZ ") || !curve) return std::nullopt;
    profile.curves[c] = std::move(*curve);
    for (size_t row = 0; row < 3; ++row)
      for (size_t k = 0; k < 3; ++k)
        profile.to_bt709[row][c] += kFromXyz[row][k] * fixed(xyz, 8 + 4 * k);
  }
  return profile;
}

std::vector<uint8_t> to_srgb(std::span<const uint16_t> rgb, const IccProfile& profile) {
  constexpr size_t kSteps = 1 << 14;
  std::vector<uint8_t> coded(kSteps + 1);
  for (size_t i = 0; i <= kSteps; ++i)
    coded[i] = static_cast<uint8_t>(
        std::lrint(255 * srgb_code(static_cast<double>(i) / static_cast<double>(kSteps))));
  std::vector<uint8_t> out(rgb.size());
  for (size_t i = 0; i + 3 <= rgb.size(); i += 3)
    for (size_t row = 0; row < 3; ++row) {
      double light = 0;
      for (size_t c = 0; c < 3; ++c)
        light += profile.to_bt709[row][c] * static_cast<double>(profile.curves[c][rgb[i + c]]);
      out[i + row] = coded[static_cast<size_t>(
          std::lrint(std::clamp(light, 0.0, 1.0) * static_cast<double>(kSteps)))];
    }
  return out;
}

bool IccProfile::is_srgb() const {
  for (int level = 0; level < 125; ++level) {  // a grid of five levels a channel
    const uint16_t rgb[] = {static_cast<uint16_t>(level % 5 * 16383),
                            static_cast<uint16_t>(level / 5 % 5 * 16383),
                            static_cast<uint16_t>(level / 25 * 16383)};
    const std::vector<uint8_t> out = to_srgb(rgb, *this);
    for (size_t c = 0; c < 3; ++c)
      if (std::abs(out[c] - rgb[c] / 257.0) > 1.6) return false;
  }
  return true;
}

}  // namespace zoetrope
