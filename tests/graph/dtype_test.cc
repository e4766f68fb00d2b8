#include "graph/dtype.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

using namespace zoetrope;

TEST_CASE("f16 widens exactly") {
  // IEEE 754 binary16 landmarks.
  CHECK(f16_to_f32(0x3c00) == 1.0f);
  CHECK(f16_to_f32(0xc000) == -2.0f);
  CHECK(f16_to_f32(0x7bff) == 65504.0f);
  CHECK(f16_to_f32(0x0001) == std::ldexp(1.0f, -24));
  CHECK(f16_to_f32(0x8001) == -std::ldexp(1.0f, -24));
  CHECK(std::isinf(f16_to_f32(0x7c00)));
  CHECK(std::isnan(f16_to_f32(0x7e00)));
  CHECK(std::signbit(f16_to_f32(0x8000)));
}

TEST_CASE("every f16 and bf16 pattern survives a round trip") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto pattern = static_cast<uint16_t>(bits);
    const float half = f16_to_f32(pattern), brain = bf16_to_f32(pattern);
    if (!std::isnan(half)) CHECK(f32_to_f16(half) == pattern);
    if (!std::isnan(brain)) CHECK(f32_to_bf16(brain) == pattern);
  }
}

TEST_CASE("narrowing agrees with the compiler's own _Float16") {
  std::mt19937 random(7);
  for (int i = 0; i < 200000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(value)) continue;
    CHECK(f32_to_f16(value) == std::bit_cast<uint16_t>(static_cast<_Float16>(value)));
  }
}

TEST_CASE("f8 formats match their published extremes") {
  // OCP 8-bit floating point specification, table 1.
  const auto load8 = [](DType dtype, uint8_t bits) { return load_element(dtype, &bits, 0); };
  CHECK(load8(DType::kF8E4M3, 0x7e) == 448.0);
  CHECK(std::isnan(load8(DType::kF8E4M3, 0x7f)));
  CHECK(load8(DType::kF8E4M3, 0x01) == std::ldexp(1.0, -9));
  CHECK(load8(DType::kF8E5M2, 0x7b) == 57344.0);
  CHECK(std::isinf(load8(DType::kF8E5M2, 0x7c)));
  CHECK(load8(DType::kF8E5M2, 0x01) == std::ldexp(1.0, -16));
  for (DType dtype : {DType::kF8E4M3, DType::kF8E5M2})
    for (int bits = 0; bits < 256; ++bits) {
      const auto pattern = static_cast<uint8_t>(bits);
      const double value = load8(dtype, pattern);
      if (std::isnan(value)) continue;
      uint8_t back = 0;
      store_element(dtype, &back, 0, value);
      CHECK(back == pattern);
    }
}
