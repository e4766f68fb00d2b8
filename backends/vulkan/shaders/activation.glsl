// Activations of the fused ops.
#ifndef ACTIVATION_GLSL
#define ACTIVATION_GLSL

#include "numbers.glsl"

float logistic(float x) { return 1.0 / (1.0 + exp(-x)); }

// Abramowitz and Stegun 7.1.26, |error| < 1.5e-7.
float normal_erf(float x) {
  float a = abs(x), t = 1.0 / (1.0 + 0.3275911 * a);
  float p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t +
             0.254829592) * t;
  float r = 1.0 - p * exp(-a * a);
  return x < 0.0 ? -r : r;
}

float activate(uint kind, float x) {
  switch (kind) {
    case ACT_SILU: return x * logistic(x);
    // 0.5·x·(1 + tanh(u)) = x·logistic(2u)
    case ACT_GELU_TANH: return x * logistic(1.5957691216057308 * (x + 0.044715 * x * x * x));
    case ACT_GELU: return 0.5 * x * (1.0 + normal_erf(x * 0.70710678118654752));
    case ACT_RELU: return x <= 0.0 ? 0.0 : x;
    case ACT_SIGMOID: return logistic(x);
    default: return x;
  }
}

#endif  // ACTIVATION_GLSL
