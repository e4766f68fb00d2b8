// Functions whose accuracy GLSL does not promise: the CPU backend's formulas, within 2e-7 of the
// true value relatively unless a comment says more. NaN spreads.
#ifndef MATH_GLSL
#define MATH_GLSL

// Compilers may assume that NaN does not occur; its bits they cannot.
bool is_nan(float x) { return (floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u; }

// Comparisons of bits: those of floats may flush denormal numbers to zero.
int order_of(float x) {
  int bits = floatBitsToInt(x);
  return bits < 0 ? int(0x80000000u) - bits : bits;
}
bool is_less(float a, float b) { return !is_nan(a) && !is_nan(b) && order_of(a) < order_of(b); }
bool is_equal(float a, float b) { return !is_nan(a) && !is_nan(b) && order_of(a) == order_of(b); }

// 2^n for integral n in [-126, 127].
float exp2_integer(float n) { return uintBitsToFloat(uint(int(n) + 127) << 23); }

// Where results are of 16 bits, the device's own exponential serves: 2e-5 of the value.
#ifndef NARROW
#define NARROW false
#endif

// 0 below -87.3, infinity above 88.72.
float exp_of(float x) {
  if (is_nan(x)) return x;
  if (x > 88.7228) return uintBitsToFloat(0x7f800000u);
  if (x < -87.3) return 0.0;
  if (NARROW) return exp2(x * 1.44269504);
  precise float n = roundEven(x * 1.44269504);
  precise float r = x - n * 0.693145752;
  r = r - n * 1.42860677e-6;
  float p = 0.0013751382;
  p = p * r + 0.0083689234;
  p = p * r + 0.0416695342;
  p = p * r + 0.1666651842;
  p = p * r + 0.4999998859;
  p = p * r + 1.0;
  p = p * r + 1.0;
  // Two factors, so that neither is infinite or denormal.
  float half_n = floor(n * 0.5);
  return p * exp2_integer(half_n) * exp2_integer(n - half_n);
}

// ln(m·2^e) = e·ln 2 + 2·atanh((m − 1)/(m + 1)), m in [1/√2, √2).
float log_of(float x) {
  uint bits = floatBitsToUint(x);
  if (is_nan(x) || bits == 0x7f800000u) return x;
  if (x <= 0.0) return uintBitsToFloat(x == 0.0 ? 0xff800000u : 0x7fc00000u);
  int e = int(bits >> 23) - 127;
  uint m = bits & 0x7fffffu;
  if (m >= 0x3504f3u) ++e;  // √2
  float f = uintBitsToFloat(m | (m >= 0x3504f3u ? 0x3f000000u : 0x3f800000u));
  precise float a = f - 1.0;
  float s = a / (f + 1.0), s2 = s * s;
  float p = 0.22222222;
  p = p * s2 + 0.28571429;
  p = p * s2 + 0.4;
  p = p * s2 + 0.66666667;
  precise float series = s * (s2 * p) + 2.0 * s;
  precise float low = float(e) * 1.42860677e-6 + series;
  return float(e) * 0.693145752 + low;
}

// For |x| ≤ 2^13, 1e-6 absolutely; beyond, f32 angles carry no information. `quarter` 1 gives cos.
float sin_of(float x, int quarter) {
  if ((floatBitsToUint(x) & 0x7fffffffu) >= 0x7f800000u) return uintBitsToFloat(0x7fc00000u);
  precise float k = roundEven(x * 0.636619772);
  precise float r = x - k * 1.5703125;  // π/2 in three parts: the first two products are exact
  r = r - k * 4.837512969970703125e-4;
  r = r - k * 7.54978995489188216e-8;
  int q = int(k) + quarter;
  float r2 = r * r, y;
  if ((q & 1) == 0) {
    y = -1.9515295891e-4;
    y = y * r2 + 8.3321608736e-3;
    y = y * r2 - 1.6666654611e-1;
    y = y * r2 * r + r;
  } else {
    y = 2.443315711809948e-5;
    y = y * r2 - 1.388731625493765e-3;
    y = y * r2 + 4.166664568298827e-2;
    y = y * r2 * r2 - 0.5 * r2 + 1.0;
  }
  return (q & 2) != 0 ? -y : y;
}

float sigmoid_of(float x) {
  float e = exp_of(-abs(x));
  return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

float silu_of(float x) {
  // −∞·0 is its limit, 0.
  return x < -88.0 ? 0.0 : x * sigmoid_of(x);
}

// 1e-6 absolutely near 0.
float tanh_of(float x) {
  if (is_nan(x)) return x;
  float e = exp_of(-2.0 * abs(x));
  float y = (1.0 - e) / (1.0 + e);
  return x < 0.0 ? -y : y;
}

// x·sigmoid(2u) = x/2·(1 + tanh(u)), u = √(2/π)·(x + 0.044715·x³).
float gelu_tanh_of(float x) {
  if (x < -40.0) return 0.0;
  if (x > 40.0) return x;
  return x * sigmoid_of(1.5957691216 * x + 0.0713548162726 * x * x * x);
}

// x·Φ(x); erfc(z) = t·exp(P(t) − z²), t = 1/(1 + z/2).
float gelu_of(float x) {
  if (x < -14.0) return 0.0;
  if (x > 14.0) return x;
  float z = abs(x) * 0.7071067812, t = 1.0 / (z * 0.5 + 1.0);
  float p = 0.165509894;
  p = p * t - 0.791463077;
  p = p * t + 1.41320312;
  p = p * t - 1.03165746;
  p = p * t + 0.191462293;
  p = p * t - 0.139631480;
  p = p * t + 0.0811646059;
  p = p * t + 0.377223402;
  p = p * t + 0.99968636;
  p = p * t - 1.26549757;
  float tail = x * (0.5 * t * exp_of(p - z * z));  // x·Φ(−|x|)
  return x > 0.0 ? x - tail : tail;
}

// 1e-5. Of negative numbers, integral powers only.
float pow_of(float a, float b) {
  if (b == 0.0 || a == 1.0) return 1.0;
  if (b == 2.0) return a * a;
  if (b == 1.0) return a;
  if (is_nan(a) || is_nan(b)) return a + b;
  if (a == 0.0) return b > 0.0 ? 0.0 : uintBitsToFloat(0x7f800000u);
  float y = exp_of(b * log_of(abs(a)));
  if (a > 0.0) return y;
  if (floor(b) != b) return uintBitsToFloat(0x7fc00000u);
  return fract(b * 0.5) != 0.0 ? -y : y;
}

#endif  // MATH_GLSL
