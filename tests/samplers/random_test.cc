#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "graph/philox.h"
#include "runtime/random/normal.h"

using namespace zoetrope;

TEST_CASE("Philox4x32-10 gives the published known answers") {
  // Random123, kat_vectors.
  CHECK(philox4x32({0, 0, 0, 0}, 0, 0) ==
        PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, ~0u, ~0u) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("normals equal Box and Muller's transform with the C library's functions") {
  std::vector<float> noise(40000);
  fill_normal(1234567890123ull, 3, 0, noise);
  for (size_t i = 0; i < noise.size(); i += 2) {
    const PhiloxBlock block = philox_block(1234567890123ull, 3, i / 4);
    const double u = (block[i % 4] + 1.0) / 4294967296.0, v = block[i % 4 + 1] / 4294967296.0;
    const double radius = std::sqrt(-2 * std::log(u));
    CHECK(std::fabs(noise[i] - radius * std::cos(2 * M_PI * v)) < 1e-6);
    CHECK(std::fabs(noise[i + 1] - radius * std::sin(2 * M_PI * v)) < 1e-6);
  }
}

TEST_CASE("any partition of the sequence gives the same bits") {
  std::vector<float> whole(1001), parts(1001);
  fill_normal(7, 0, 5, whole);
  for (size_t begin = 0; begin < parts.size();) {
    const size_t size = std::min<size_t>(1 + begin % 7, parts.size() - begin);
    fill_normal(7, 0, 5 + begin, std::span(parts).subspan(begin, size));
    begin += size;
  }
  CHECK(whole == parts);
}

TEST_CASE("moments are those of a standard normal") {
  std::vector<float> noise(1 << 20);
  fill_normal(42, 1, 0, noise);
  double sum = 0, square = 0, fourth = 0;
  for (float x : noise) {
    sum += x;
    square += double{x} * x;
    fourth += double{x} * x * x * x;
  }
  const double n = static_cast<double>(noise.size());
  CHECK(std::fabs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::fabs(square / n - 1) < 5 * std::sqrt(2 / n));
  CHECK(std::fabs(fourth / n - 3) < 5 * std::sqrt(96 / n));
}
