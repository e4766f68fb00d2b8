#include "runtime/plan/arena.h"

#include <doctest/doctest.h>

#include <random>

using namespace zoetrope;

namespace {

void check_valid(const std::vector<ArenaBuffer>& buffers, const ArenaLayout& layout,
                 int64_t alignment) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    const ArenaBuffer& a = buffers[i];
    CHECK(a.offset % alignment == 0);
    CHECK(a.offset + a.bytes <= layout.bytes);
    for (size_t j = 0; j < i; ++j) {
      const ArenaBuffer& b = buffers[j];
      const bool together = a.first <= b.last && b.first <= a.last;
      const bool apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
      CHECK_MESSAGE((!together || apart), "buffers ", i, " and ", j, " overlap");
    }
  }
  CHECK(layout.bytes >= layout.lower_bound);
}

}  // namespace

TEST_CASE("a chain needs only its two largest neighbours") {
  std::vector<ArenaBuffer> buffers;
  for (int32_t i = 0; i < 50; ++i) buffers.push_back({1024 * (i % 5 + 1), i, i + 1, 0});
  const ArenaLayout layout = assign_offsets(buffers, 64);
  check_valid(buffers, layout, 64);
  CHECK(layout.lower_bound == 1024 * 9);
  CHECK(layout.bytes == layout.lower_bound);
}

TEST_CASE("random lifetimes never overlap in space and time") {
  std::mt19937 random(std::random_device{}());
  for (int round = 0; round < 40; ++round) {
    std::vector<ArenaBuffer> buffers;
    const int count = static_cast<int>(random() % 120);
    for (int i = 0; i < count; ++i) {
      const auto first = static_cast<int32_t>(random() % 60);
      buffers.push_back({static_cast<int64_t>(random() % 5000), first,
                         first + static_cast<int32_t>(random() % 20), -1});
    }
    check_valid(buffers, assign_offsets(buffers, 64), 64);
  }
}

TEST_CASE("small buffers are spread over the arena, and stay apart from what lives with them") {
  std::mt19937 random(std::random_device{}());
  for (int round = 0; round < 40; ++round) {
    std::vector<ArenaBuffer> buffers;
    for (int i = 0; i < 100; ++i) {
      const auto first = static_cast<int32_t>(random() % 60);
      buffers.push_back({static_cast<int64_t>(random() % 5000), first,
                         first + static_cast<int32_t>(random() % 20), -1});
    }
    const ArenaLayout layout = assign_offsets(buffers, 64);
    spread_offsets(buffers, layout, 64, 3000, 8);
    check_valid(buffers, layout, 64);
  }
  // One that needs the whole arena, then a chain that would fit into a corner of it.
  std::vector<ArenaBuffer> chain{{64 * 8, 0, 0, 0}};
  for (int32_t i = 1; i < 20; ++i) chain.push_back({64, i, i, 0});
  const ArenaLayout layout = assign_offsets(chain, 64);
  CHECK(layout.bytes == 64 * 8);
  spread_offsets(chain, layout, 64, 64, 3);
  for (size_t i = 8; i < chain.size(); ++i)
    for (size_t j = i - 3; j < i; ++j) CHECK(chain[i].offset != chain[j].offset);
}

TEST_CASE("empty inputs and zero sizes are fine") {
  std::vector<ArenaBuffer> none;
  CHECK(assign_offsets(none, 64).bytes == 0);
  std::vector<ArenaBuffer> zeros{{0, 0, 3, -1}, {100, 1, 2, -1}};
  const ArenaLayout layout = assign_offsets(zeros, 64);
  CHECK(layout.bytes == 128);
}
