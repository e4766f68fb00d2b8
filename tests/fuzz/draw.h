// Random choices that follow from a number alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <iterator>
#include <vector>

#include "graph/philox.h"
#include "graph/status.h"

namespace zoetrope {

class Draw {
 public:
  explicit Draw(uint64_t seed) : seed_(seed) {}

  // 0 ... n - 1; 0 where n is 0.
  uint32_t below(size_t n) {
    return static_cast<uint32_t>(philox_block(seed_, 0, index_++)[0] % (n == 0 ? 1 : n));
  }
  bool one_in(size_t n) { return below(n) == 0; }
  bool coin() { return one_in(2); }
  template <typename List>
  auto& pick(List& list) {
    ZT_CHECK(std::size(list) > 0);
    return *(std::begin(list) + below(std::size(list)));
  }

  // Sizes, counts and signs that code tends to get wrong.
  int64_t whole() {
    static constexpr int64_t kEdges[] = {
        0,  1,  2,   3,     4,         5,         7,         8,         16,        17,        31,
        33, 64, 255, 256,   1024,      4095,      65536,     1 << 20,   1 << 24,   INT32_MAX, -1,
        -2, -3, -8,  -1024, INT32_MIN, INT64_MAX, INT64_MIN, 1ll << 32, 1ll << 46, 1ll << 62};
    return kEdges[below(coin() ? 14 : std::size(kEdges))];
  }
  double number() {
    static constexpr double kEdges[] = {0,     1,    -1,   0.5,   2,     1e-3, 1e-12,
                                        1e-38, 1e4,  1e30, 1e300, -1e30, -0.0, 3.1415926,
                                        1000,  1e18, 1e-6, 0.999, 1.001, 255};
    static constexpr double kWorse[] = {HUGE_VAL, -HUGE_VAL, NAN};
    return one_in(12) ? pick(kWorse) : pick(kEdges);
  }

 private:
  uint64_t seed_, index_ = 0;
};

}  // namespace zoetrope
