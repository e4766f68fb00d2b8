// Activations in f32, true to a few ulps. Short code: kernels have them many times over.
#pragma once

#include "backends/cuda/kernels/activation.h"
#include "backends/cuda/kernels/common.cuh"

namespace zoetrope::cuda {

__device__ inline float logistic(float x) { return reciprocal_of(1.f + exp2_of(-kLog2E * x)); }

// x·sigmoid(2u) = x/2·(1 + tanh(u)), u = √(2/π)·(x + 0.044715·x³).
__device__ inline float gelu_tanh(float x) {
  constexpr double kLinear = -1.5957691216057308 * 1.4426950408889634, kCubic = 0.044715 * kLinear;
  const float power =
      x * fmaf(x * x, static_cast<float>(kCubic), static_cast<float>(kLinear));  // −2u·log2 e
  return x * reciprocal_of(1.f + exp2_of(power));
}

// x·Φ(x), Φ(−|x|) = erfc(|x|/√2)/2 after Press et al., Numerical Recipes, 6.2: fractional error
// below 1.2e-7 but for the rounding of the exponent.
__device__ inline float gelu_erf(float x) {
  const float z = 0.7071067811865476f * fabsf(x), t = reciprocal_of(1.f + 0.5f * z);
  constexpr float kTerms[] = {0.17087277f,  -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                              -0.18628806f, 0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f};
  float power = kTerms[0];
#pragma unroll
  for (int i = 1; i < 10; ++i) power = power * t + kTerms[i];
  const float tail = 0.5f * t * exp2_of(kLog2E * (power - z * z));
  return fmaxf(x, 0.f) - fabsf(x) * tail;
}
__device__ __noinline__ static float gelu_erf_call(float x) { return gelu_erf(x); }

__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone: return x;
    case Activation::kSilu: return x * logistic(x);
    case Activation::kGeluTanh: return gelu_tanh(x);
    case Activation::kGelu: return gelu_erf_call(x);
    case Activation::kRelu: return x < 0.f ? 0.f : x;  // NaN stays
    case Activation::kSigmoid: return logistic(x);
  }
  return x;
}

}  // namespace zoetrope::cuda
