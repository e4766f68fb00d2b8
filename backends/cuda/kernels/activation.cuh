// Activations in f32, true to about an ulp.
#pragma once

#include "backends/cuda/kernels/activation.h"

namespace zoetrope::cuda {

__device__ inline float logistic(float x) { return 1.f / (1.f + expf(-x)); }

__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone: return x;
    case Activation::kSilu: return x * logistic(x);
    // x·sigmoid(2u) = x/2·(1 + tanh(u)), u = √(2/π)·(x + 0.044715·x³).
    case Activation::kGeluTanh:
      return x * logistic(1.5957691216057308f * (x + 0.044715f * x * x * x));
    case Activation::kGelu: return 0.5f * x * (1.f + erff(0.7071067811865476f * x));
    case Activation::kRelu: return fmaxf(x, 0.f);
    case Activation::kSigmoid: return logistic(x);
  }
  return x;
}

}  // namespace zoetrope::cuda
