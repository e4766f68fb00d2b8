// The vector loops on every instruction set of this machine: rows of all lengths give what the
// whole row gives, element by element, and accuracy is as stated.
#include "backends/cpu/simd/simd.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

using namespace zoetrope;
using namespace zoetrope::cpu;

namespace {

std::vector<Isa> machine_levels() {
  std::vector<Isa> levels;
  const auto best = detect_isa();
  for (Isa isa : {Isa::kSse4, Isa::kAvx2, Isa::kAvx512})
    if (best.ok() && isa <= *best) levels.push_back(isa);
  return levels;
}

constexpr float kInf = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("an element's result does not depend on its place in the row") {
  std::vector<float> x(97), whole(97), part(97);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.37f * static_cast<float>(i) - 15.0f;
  for (Isa isa : machine_levels()) {
    const Simd& simd = simd_for(isa);
    for (int fn = 0; fn < ops::kUnaryCount; ++fn) {
      simd.unary[fn](x.data(), whole.data(), 97);
      for (int64_t begin : {1, 5, 31, 64, 90}) {
        simd.unary[fn](x.data() + begin, part.data(), 97 - begin);
        for (int64_t i = begin; i < 97; ++i) {
          const float a = whole[static_cast<size_t>(i)], b = part[static_cast<size_t>(i - begin)];
          CHECK((a == b || (std::isnan(a) && std::isnan(b))));
        }
      }
    }
  }
}

TEST_CASE("exp reaches both ends of f32 and keeps NaN and infinities") {
  for (Isa isa : machine_levels()) {
    const auto exp = simd_for(isa).unary[static_cast<int>(Unary::kExp)];
    for (float x = -87.0f; x < 88.7f; x += 0.173f) {
      float y = 0;
      exp(&x, &y, 1);
      CHECK(std::fabs(y / std::exp(static_cast<double>(x)) - 1) < 3e-7);
    }
    const float ends[] = {-kInf, -200.0f, 89.0f, kInf, NAN};
    float y[5];
    exp(ends, y, 5);
    CHECK(y[0] == 0);
    CHECK(y[1] == 0);
    CHECK(y[2] == kInf);
    CHECK(y[3] == kInf);
    CHECK(std::isnan(y[4]));
  }
}

TEST_CASE("narrow floats round to nearest even, as the scalar conversions do") {
  std::vector<float> x;
  for (uint32_t bits = 0; bits < 0x7f800000u; bits += 104729)
    x.push_back(std::bit_cast<float>(bits));
  for (float special : {kInf, -kInf, NAN, 65519.0f, 65520.0f, 1e-8f, -0.0f}) x.push_back(special);
  std::vector<uint16_t> y(x.size());
  std::vector<float> back(x.size());
  for (Isa isa : machine_levels()) {
    const Simd& simd = simd_for(isa);
    const auto n = static_cast<int64_t>(x.size());
    simd.f32_to_bf16(x.data(), y.data(), n);
    simd.bf16_to_f32(y.data(), back.data(), n);
    for (size_t i = 0; i < x.size(); ++i) {
      CHECK((y[i] == f32_to_bf16(x[i]) || std::isnan(x[i])));
      CHECK((back[i] == bf16_to_f32(y[i]) || std::isnan(x[i])));
    }
    simd.f32_to_f16(x.data(), y.data(), n);
    simd.f16_to_f32(y.data(), back.data(), n);
    for (size_t i = 0; i < x.size(); ++i) {
      CHECK((y[i] == f32_to_f16(x[i]) || std::isnan(x[i])));
      CHECK((back[i] == f16_to_f32(y[i]) || std::isnan(x[i])));
    }
  }
}

TEST_CASE("rows of 8 bits round to nearest even, as the scalar conversions do") {
  std::vector<float> x;
  for (uint32_t bits = 0; bits <= std::bit_cast<uint32_t>(448.0f); bits += 104729)
    for (const uint32_t sign : {0u, 0x80000000u}) x.push_back(std::bit_cast<float>(bits | sign));
  for (int code = 0; code < 0x7e; ++code)  // halfway between neighbours
    for (const float sign : {1.0f, -1.0f}) {
      const auto at = static_cast<uint8_t>(code), next = static_cast<uint8_t>(code + 1);
      x.push_back(sign * static_cast<float>((load_element(DType::kF8E4M3, &at, 0) +
                                             load_element(DType::kF8E4M3, &next, 0)) /
                                            2));
    }
  std::vector<uint8_t> y(x.size()), moved(x.size());
  const auto n = static_cast<int64_t>(x.size());
  for (Isa isa : machine_levels()) {
    const Simd& simd = simd_for(isa);
    for (const float factor : {1.0f, 0.37f, 1.0000001f}) {
      simd.round_to_f8e4m3(x.data(), factor, y.data(), n);
      for (size_t i = 0; i < x.size(); ++i) CHECK(y[i] == f32_to_f8e4m3(x[i] * factor));
      simd.round_to_i8(x.data(), factor, reinterpret_cast<int8_t*>(y.data()), n);
      for (size_t i = 0; i < x.size(); ++i)
        CHECK(static_cast<int8_t>(y[i]) ==
              std::clamp(std::nearbyint(x[i] * factor), -127.0f, 127.0f));
    }
    simd.i8_to_u8(y.data(), moved.data(), n);
    for (size_t i = 0; i < x.size(); ++i)
      CHECK(moved[i] == static_cast<int>(static_cast<int8_t>(y[i])) + 128);
  }
}

TEST_CASE("sums and maxima of every length") {
  std::vector<float> x(200);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 37) % 101) - 50.0f;
  for (Isa isa : machine_levels()) {
    const Simd& simd = simd_for(isa);
    for (int64_t n = 0; n < 200; ++n) {
      double sum = 0, squares = 0;
      float most = -kInf;
      for (int64_t i = 0; i < n; ++i) {
        const float v = x[static_cast<size_t>(i)];
        sum += v;
        squares += static_cast<double>(v) * v;
        most = std::max(most, v);
      }
      CHECK(simd.sum(x.data(), n) == sum);  // small integers: exact in any order
      CHECK(simd.sum_squares(x.data(), n) == squares);
      CHECK(simd.max(x.data(), n) == most);
    }
    x[150] = NAN;
    CHECK(std::isnan(simd.max(x.data(), 200)));
    x[150] = 0;
  }
}
