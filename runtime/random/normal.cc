#include "runtime/random/normal.h"

#include <array>
#include <cmath>

#include "graph/philox.h"

// Built with -ffp-contract=off: a fused multiply-add would change the bits.

namespace zoetrope {
namespace {

constexpr double kLn2 = 0.693147180559945309417232121458;
constexpr double kTwoPi = 6.283185307179586476925286766559;

// ln(x) for x in (0, 1]: x = m·2^e with m in [sqrt(1/2), sqrt(2)), and
// ln m = 2 atanh((m − 1)/(m + 1)), whose series converges below 2^-53 in 11 terms.
double log_of(double x) {
  int exponent;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752440) {
    m += m;
    --exponent;
  }
  const double s = (m - 1.0) / (m + 1.0), s2 = s * s;
  double sum = 0;
  for (int k = 23; k >= 1; k -= 2) sum = sum * s2 + 1.0 / k;
  return exponent * kLn2 + 2.0 * s * sum;
}

// sin and cos of 2π·turn, turn in [0, 1), by Taylor series on an eighth of a turn.
void sincos_turn(double turn, double* sine, double* cosine) {
  const int quadrant = static_cast<int>(turn * 4.0 + 0.5);
  const double x = (turn - quadrant * 0.25) * kTwoPi, x2 = x * x;
  double s = 0, c = 0;
  for (int k = 17; k >= 3; k -= 2) s = (s + 1.0) * (-x2 / (k * (k - 1)));
  for (int k = 18; k >= 2; k -= 2) c = (c + 1.0) * (-x2 / (k * (k - 1)));
  s = x * (s + 1.0);
  c = c + 1.0;
  switch (quadrant & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    case 3: *sine = -c, *cosine = s; break;
  }
}

// Two normals from two words: u in (0, 1] gives the radius, v in [0, 1) the angle.
void box_muller(uint32_t word0, uint32_t word1, float* out) {
  const double u = (word0 + 1.0) * 0x1p-32, v = word1 * 0x1p-32;
  const double radius = std::sqrt(-2.0 * log_of(u));
  double sine, cosine;
  sincos_turn(v, &sine, &cosine);
  out[0] = static_cast<float>(radius * cosine);
  out[1] = static_cast<float>(radius * sine);
}

}  // namespace

void fill_normal(uint64_t seed, uint64_t stream, uint64_t offset, std::span<float> out) {
  for (size_t i = 0; i < out.size();) {
    const uint64_t at = offset + i;
    const PhiloxBlock block = philox_block(seed, stream, at / 4);
    std::array<float, 4> four;
    box_muller(block[0], block[1], &four[0]);
    box_muller(block[2], block[3], &four[2]);
    for (uint64_t k = at % 4; k < 4 && i < out.size(); ++k) out[i++] = four[k];
  }
}

}  // namespace zoetrope
