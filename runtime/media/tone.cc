#include "runtime/media/tone.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace zoetrope {
namespace {

constexpr double kWhite = 203, kPeak = 1000;  // cd/m2
constexpr double kKnee = 0.8;                 // of white

// ST 2084: code value to cd/m2.
double pq_light(double code) {
  constexpr double m1 = 2610.0 / 16384, m2 = 2523.0 / 32, c1 = 3424.0 / 4096, c2 = 2413.0 / 128,
                   c3 = 2392.0 / 128;
  const double p = std::pow(code, 1 / m2);
  return 10000 * std::pow(std::max(p - c1, 0.0) / (c2 - c3 * p), 1 / m1);
}

// STD-B67: code value to scene light, 0 to 1.
double hlg_light(double code) {
  constexpr double a = 0.17883277, b = 0.28466892, c = 0.55991073;
  return code <= 0.5 ? code * code / 3 : (std::exp((code - c) / a) + b) / 12;
}

double srgb_light(double code) {
  return code <= 0.04045 ? code / 12.92 : std::pow((code + 0.055) / 1.055, 2.4);
}

double srgb_code(double light) {
  return light <= 0.0031308 ? light * 12.92 : 1.055 * std::pow(light, 1 / 2.4) - 0.055;
}

using Matrix = std::array<std::array<double, 3>, 3>;

// Linear light of other primaries as BT.709's, white D65 in all (from their chromaticities).
constexpr Matrix kFromBt2020 = {{{1.660491, -0.587641, -0.072850},
                                 {-0.124550, 1.132900, -0.008349},
                                 {-0.018151, -0.100579, 1.118730}}};
constexpr Matrix kFromDisplayP3 = {
    {{1.224940, -0.224940, 0.0}, {-0.042057, 1.042057, 0.0}, {-0.019638, -0.078636, 1.098274}}};

// 1 is white. A curve that is straight up to the knee, goes on without a corner, and reaches 1 at
// the peak.
double compress(double light) {
  if (light <= kKnee) return light;
  constexpr double span = 1 - kKnee, room = kPeak / kWhite - kKnee;
  const double t = std::min(light - kKnee, room);
  // y = t (1 + t q) / (1 + t / s): slope 1 at 0, and `span` at `room`.
  constexpr double q = (span * (1 + room / span) / room - 1) / room;
  return kKnee + t * (1 + t * q) / (1 + t / span);
}

}  // namespace

std::vector<uint8_t> to_srgb(std::span<const uint16_t> rgb, const Light& light) {
  std::vector<float> table(65536);
  for (size_t i = 0; i < table.size(); ++i) {
    const double code = static_cast<double>(i) / 65535;
    double value = code;
    if (light.transfer == Light::kGamma) value = srgb_light(code);
    if (light.transfer == Light::kPq) value = pq_light(code) / kWhite;
    if (light.transfer == Light::kHlg) value = hlg_light(code);
    table[i] = static_cast<float>(value);
  }
  constexpr size_t kSteps = 1 << 14;
  std::vector<uint8_t> coded(kSteps + 1);
  for (size_t i = 0; i <= kSteps; ++i)
    coded[i] = static_cast<uint8_t>(
        std::lrint(255 * srgb_code(static_cast<double>(i) / static_cast<double>(kSteps))));
  std::vector<uint8_t> out(rgb.size());
  for (size_t i = 0; i + 3 <= rgb.size(); i += 3) {
    std::array<double, 3> v = {table[rgb[i]], table[rgb[i + 1]], table[rgb[i + 2]]};
    if (light.transfer == Light::kHlg) {
      // BT.2100's display of 1000 cd/m2: gamma 1.2 on the scene's luminance.
      const double y = 0.2627 * v[0] + 0.6780 * v[1] + 0.0593 * v[2];
      const double gain = y > 0 ? kPeak / kWhite * std::pow(y, 0.2) : 0;
      for (double& x : v) x *= gain;
    }
    if (light.primaries != Light::kBt709) {
      const Matrix& m = light.primaries == Light::kBt2020 ? kFromBt2020 : kFromDisplayP3;
      const auto w = v;
      for (size_t c = 0; c < 3; ++c)
        v[c] = std::max(0.0, m[c][0] * w[0] + m[c][1] * w[1] + m[c][2] * w[2]);
    }
    // The brightest channel is compressed and the others with it, so that hues stay.
    const double most = std::max({v[0], v[1], v[2]});
    if (light.transfer != Light::kGamma && most > kKnee) {
      const double gain = compress(most) / most;
      for (double& x : v) x *= gain;
    }
    for (size_t c = 0; c < 3; ++c)
      out[i + c] = coded[static_cast<size_t>(
          std::lrint(std::clamp(v[c], 0.0, 1.0) * static_cast<double>(kSteps)))];
  }
  return out;
}

}  // namespace zoetrope
