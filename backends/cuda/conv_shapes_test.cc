#include <doctest/doctest.h>

#include <map>
#include <random>
#include <tuple>

#include "backends/cuda/conv_wgmma.h"
#include "backends/cuda/kernels/conv_gather.h"

namespace zoetrope::cuda {
namespace {

using Triple = std::tuple<int64_t, int64_t, int64_t>;  // element of x, tap, element of y

ConvParams random_axis(std::mt19937& random, bool transposed) {
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  ConvParams p;
  p.batch = p.groups = 1, p.channels = p.filters = 8, p.transposed = transposed;
  for (int d = 0; d < 3; ++d) p.in[d] = p.out[d] = p.kernel[d] = p.stride[d] = p.dilation[d] = 1;
  p.in[2] = 1 + below(9), p.kernel[2] = 1 + below(6), p.stride[2] = 1 + below(5);
  p.dilation[2] = 1 + below(4), p.pad[2] = below(5), p.out[2] = 1 + below(20);
  return p;
}

TEST_CASE("gathered products multiply what the definition multiplies, each once") {
  std::mt19937 random(std::random_device{}());
  for (int trial = 0; trial < 2000; ++trial) {
    const ConvParams p = random_axis(random, trial % 2 == 1);
    REQUIRE(accepts_conv_gather(p));
    std::map<Triple, int> expected, found;
    for (int64_t o = 0; o < p.out[2]; ++o)
      for (int64_t k = 0; k < p.kernel[2]; ++k)
        for (int64_t i = 0; i < p.in[2]; ++i) {
          const int64_t reach = k * p.dilation[2] - p.pad[2];
          if (p.transposed ? o == i * p.stride[2] + reach : i == o * p.stride[2] + reach)
            ++expected[{i, k, o}];
        }
    const ConvGather g = conv_gather(p);
    for (int remainder = 0; remainder < g.remainders[2]; ++remainder) {
      const ConvAxis& a = g.axis[2][remainder];
      CHECK(a.rows <= g.rows);
      for (int r = 0; r < a.rows; ++r)
        for (int j = 0; j < a.taps; ++j) {
          const int64_t i = a.base + r * a.row_step + j * a.move;
          if (i >= 0 && i < p.in[2])
            ++found[{i, a.tap_first + j * a.tap_step, a.first + r * a.step}];
        }
    }
    CHECK(found == expected);
  }
}

TEST_CASE("gathered products refuse indices beyond 31 bits and long strides of transposed ones") {
  std::mt19937 random(1);
  ConvParams p = random_axis(random, true);
  p.stride[2] = kMostRemainders + 1;
  CHECK_FALSE(accepts_conv_gather(p));
  p = random_axis(random, false);
  p.in[2] = int64_t{1} << 30;
  CHECK_FALSE(accepts_conv_gather(p));
}

ConvParams same(int64_t t, int64_t h, int64_t w, int64_t kernel, int64_t channels) {
  ConvParams p;
  p.batch = 1, p.channels = p.filters = channels, p.dtype = DType::kBF16;
  const int64_t extents[3] = {t, h, w};
  for (int d = 0; d < 3; ++d) {
    p.in[d] = p.out[d] = extents[d];
    p.kernel[d] = extents[d] > 1 ? kernel : 1;
    p.pad[d] = p.kernel[d] / 2;
    p.stride[d] = p.dilation[d] = 1;
  }
  return p;
}

TEST_CASE("a tile's blocks stand side by side and its part holds what their taps read") {
  for (const ConvParams& p :
       {same(4, 480, 832, 3, 96), same(5, 7, 9, 3, 64), same(1, 1, 900, 7, 192),
        same(1, 1, 5000, 31, 128), same(16, 20, 24, 5, 24)}) {
    ConvWgmmaParams w{};
    REQUIRE(accepts_conv_wgmma_shape(p));
    const ConvTiling tiling = choose_conv_tiling(p);
    REQUIRE(set_conv_tiling(p, tiling, &w));
    CHECK(w.part[0] * w.part[1] * w.part[2] <= kConvPartRows);
    CHECK(w.tile[0] * w.tile[1] * w.tile[2] == 64 * kConvBlocks);
    std::map<std::tuple<int, int, int>, int> covered;
    for (int b = 0; b < kConvBlocks; ++b)
      for (int i = 0; i < 64; ++i) {
        const int h = w.block_at[b][1] + i / w.block[2], x = w.block_at[b][2] + i % w.block[2];
        ++covered[{w.block_at[b][0], h, x}];
        // Where the kernel's descriptors find the position at its first tap.
        const int row = w.block_row[b] + i / 8 * w.next_eight + i % 8;
        CHECK(row == (w.block_at[b][0] * w.part[1] + h) * w.part[2] + x);
      }
    CHECK(covered.size() == 64 * kConvBlocks);
  }
}

TEST_CASE("taps along t that see nothing but padding are left out") {
  const ConvParams p = same(4, 64, 64, 3, 96);
  ConvWgmmaParams w{};
  REQUIRE(set_conv_tiling(p, {.blocks = {1, 2, 2}}, &w));
  CHECK(conv_tap_begin(w, 0) == 1);
  CHECK(conv_tap_end(w, 0) == 3);
  CHECK(conv_tap_begin(w, 2) == 0);
  CHECK(conv_tap_end(w, 2) == 3);
  CHECK(conv_tap_end(w, 3) == 2);
  w.replicate_t = true;
  CHECK(conv_tap_begin(w, 0) == 0);
}

}  // namespace
}  // namespace zoetrope::cuda
