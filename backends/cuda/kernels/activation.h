// The activations that fused ops know.
#pragma once

#include <cstdint>
#include <string_view>

namespace zoetrope::cuda {

enum class Activation : uint8_t { kNone, kSilu, kGeluTanh, kGelu, kRelu, kSigmoid };

// From an op's attribute; the op's verification has refused other names.
inline Activation parse_activation(std::string_view name) {
  if (name == "silu") return Activation::kSilu;
  if (name == "gelu_tanh") return Activation::kGeluTanh;
  if (name == "gelu") return Activation::kGelu;
  if (name == "relu") return Activation::kRelu;
  if (name == "sigmoid") return Activation::kSigmoid;
  return Activation::kNone;
}

}  // namespace zoetrope::cuda
