#include "runtime/random/portable_math.h"

#include <cmath>

// Built with -ffp-contract=off: a fused multiply-add would change the bits.

namespace zoetrope {
namespace {

constexpr double kLn2 = 0.693147180559945309417232121458;
constexpr double kTwoPi = 6.283185307179586476925286766559;

}  // namespace

// ln(x) for x in (0, 1]: x = m·2^e with m in [sqrt(1/2), sqrt(2)), and
// ln m = 2 atanh((m − 1)/(m + 1)), whose series converges below 2^-53 in 11 terms.
double portable_log(double x) {
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
void portable_sincos_turn(double turn, double* sine, double* cosine) {
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

}  // namespace zoetrope
