#include "backends/cuda/ranges.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace zoetrope::cuda {
namespace {

constexpr int64_t kBytes = 200;

// The same set as one flag a byte.
struct Flags {
  bool byte[kBytes] = {};
  void add(int64_t begin, int64_t bytes) {
    for (int64_t i = begin; i < begin + bytes; ++i) byte[i] = true;
  }
  bool overlaps(int64_t begin, int64_t bytes) const {
    for (int64_t i = begin; i < begin + bytes; ++i)
      if (byte[i]) return true;
    return false;
  }
};

TEST_CASE("ranges know which bytes they hold, before and after they are joined") {
  std::mt19937 random(std::random_device{}());
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  const char memory[kBytes] = {};
  for (int round = 0; round < 200; ++round) {
    Ranges ranges, other;
    Flags flags, other_flags;
    for (int64_t i = below(8); i > 0; --i) {
      const int64_t begin = below(kBytes), bytes = below(std::min<int64_t>(kBytes - begin, 30) + 1);
      ranges.add(memory + begin, bytes);
      flags.add(begin, bytes);
    }
    for (int64_t i = below(3); i > 0; --i) {
      const int64_t begin = below(kBytes), bytes = below(std::min<int64_t>(kBytes - begin, 9) + 1);
      other.add(memory + begin, bytes);
      other_flags.add(begin, bytes);
    }
    bool meet = false;
    for (int64_t i = 0; i < kBytes; ++i) meet |= flags.byte[i] && other_flags.byte[i];
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t begin = 0; begin < kBytes; ++begin)
        for (int64_t bytes : {0, 1, 7})
          if (begin + bytes <= kBytes)
            REQUIRE(ranges.overlaps(memory + begin, bytes) == flags.overlaps(begin, bytes));
      REQUIRE(ranges.overlap(other) == meet);
      REQUIRE(other.overlap(ranges) == meet);
      ranges.merge();
    }
  }
}

}  // namespace
}  // namespace zoetrope::cuda
