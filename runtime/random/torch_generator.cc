#include "runtime/random/torch_generator.h"

#include <cmath>

#include "runtime/random/portable_math.h"

// Built with -ffp-contract=off, as normal.cc is.

namespace zoetrope {
namespace {

constexpr size_t kGroup = 16;  // torch makes long tensors sixteen at a time

}  // namespace

float TorchGenerator::uniform24() {
  return static_cast<float>(static_cast<uint32_t>(engine_()) & 0xFFFFFFu) * 0x1p-24f;
}

double TorchGenerator::uniform53() {
  const uint64_t high = engine_(), low = engine_();
  return static_cast<double>(((high << 32) | low) & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}

// Uniforms in, normals out: j and j + 8 are radius and angle of one pair.
void TorchGenerator::fill_sixteen(float* out) {
  for (size_t j = 0; j < kGroup / 2; ++j) {
    const double radius = std::sqrt(-2.0 * portable_log(1.0 - out[j]));
    double sine, cosine;
    portable_sincos_turn(out[j + kGroup / 2], &sine, &cosine);
    out[j] = static_cast<float>(radius * cosine);
    out[j + kGroup / 2] = static_cast<float>(radius * sine);
  }
}

void TorchGenerator::fill_normal(std::span<float> out) {
  if (out.size() < kGroup) {
    for (float& value : out) {
      if (spare_) {
        value = static_cast<float>(*spare_);
        spare_.reset();
        continue;
      }
      const double turn = uniform53();
      const double radius = std::sqrt(-2.0 * portable_log(1.0 - uniform53()));
      double sine, cosine;
      portable_sincos_turn(turn, &sine, &cosine);
      spare_ = radius * sine;
      value = static_cast<float>(radius * cosine);
    }
    return;
  }
  for (float& value : out) value = uniform24();
  for (size_t i = 0; i + kGroup <= out.size(); i += kGroup) fill_sixteen(&out[i]);
  if (out.size() % kGroup == 0) return;
  // A last, partial group: the last sixteen values are drawn anew.
  float* tail = &out[out.size() - kGroup];
  for (size_t j = 0; j < kGroup; ++j) tail[j] = uniform24();
  fill_sixteen(tail);
}

}  // namespace zoetrope
