#include "backends/cuda/call_order.h"

#include <doctest/doctest.h>

#include <random>

namespace zoetrope::cuda {
namespace {

constexpr int64_t kBytes = 24;

struct Plain {
  bool reads[kBytes] = {}, writes[kBytes] = {};
  bool alone = false;
};

bool must_follow(const Plain& a, const Plain& b) {
  if (a.alone || b.alone) return true;
  for (int64_t i = 0; i < kBytes; ++i)
    if ((a.writes[i] && (b.reads[i] || b.writes[i])) || (a.reads[i] && b.writes[i])) return true;
  return false;
}

TEST_CASE("calls follow those whose memory they share, and no edge says so twice") {
  std::mt19937 random(std::random_device{}());
  const char memory[kBytes] = {};
  for (int round = 0; round < 100; ++round) {
    const size_t count = random() % 20;
    std::vector<CallMemory> calls(count);
    std::vector<Plain> plain(count);
    for (size_t i = 0; i < count; ++i) {
      for (const bool writes : {false, true}) {
        for (uint32_t n = random() % 3; n > 0; --n) {
          const auto begin = static_cast<int64_t>(random() % kBytes);
          const auto bytes = std::min<int64_t>(kBytes - begin, random() % 4);
          (writes ? calls[i].writes : calls[i].reads).add(memory + begin, bytes);
          for (int64_t b = begin; b < begin + bytes; ++b)
            (writes ? plain[i].writes : plain[i].reads)[b] = true;
        }
      }
      calls[i].alone = plain[i].alone = random() % 16 == 0;
    }
    const auto after = call_order(calls);
    REQUIRE(after.size() == count);
    // Whom each follows, by the edges alone; without(i, e): all but edge e of i.
    std::vector<std::vector<bool>> reached(count, std::vector<bool>(count, false));
    for (size_t i = 0; i < count; ++i)
      for (const size_t j : after[i]) {
        REQUIRE(j < i);
        reached[i][j] = true;
        for (size_t k = 0; k < j; ++k)
          if (reached[j][k]) reached[i][k] = true;
      }
    for (size_t i = 0; i < count; ++i) {
      for (size_t j = 0; j < i; ++j)
        if (must_follow(plain[i], plain[j])) CHECK(reached[i][j]);
      for (const size_t j : after[i]) {
        CHECK(must_follow(plain[i], plain[j]));
        for (const size_t other : after[i]) CHECK_FALSE(reached[other][j]);
      }
    }
  }
}

TEST_CASE("independent calls follow nobody; very many are put in a row") {
  const char memory[2] = {};
  std::vector<CallMemory> calls(2);
  for (size_t i = 0; i < 2; ++i) calls[i].writes.add(memory + i, 1);
  CHECK(call_order(calls)[1].empty());
  const auto row = call_order(std::vector<CallMemory>(10'000));
  CHECK(row[0].empty());
  CHECK(row[9'999] == std::vector<size_t>{9'998});
}

}  // namespace
}  // namespace zoetrope::cuda
