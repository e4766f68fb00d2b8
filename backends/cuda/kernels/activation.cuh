// Activations in f32, true to a few ulps. Short code: kernels have them many times over.
#pragma once

#include "backends/cuda/kernels/activation.h"

namespace zoetrope::cuda {

__device__ inline float logistic(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }

__device__ __noinline__ static float gelu_erf(float x) {
  return 0.5f * x * (1.f + erff(0.7071067811865476f * x));
}

__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone: return x;
    case Activation::kSilu: return x * logistic(x);
    // x·sigmoid(2u) = x/2·(1 + tanh(u)), u = √(2/π)·(x + 0.044715·x³).
    case Activation::kGeluTanh:
      return x * logistic(1.5957691216057308f * (x + 0.044715f * x * x * x));
    case Activation::kGelu: return gelu_erf(x);
    case Activation::kRelu: return x < 0.f ? 0.f : x;  // NaN stays
    case Activation::kSigmoid: return logistic(x);
  }
  return x;
}

}  // namespace zoetrope::cuda
