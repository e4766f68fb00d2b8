#include "backends/cpu/thread_pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <new>
#include <numeric>
#include <vector>

using zoetrope::cpu::ThreadPool;

TEST_CASE("every task runs once, on a worker in range") {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (int64_t tasks : {0, 1, 2, 3, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      std::atomic<bool> in_range{true};
      pool.run(tasks, [&](int64_t task, int worker) {
        ++runs[static_cast<size_t>(task)];
        if (worker < 0 || worker >= threads) in_range = false;
      });
      for (const auto& count : runs) CHECK(count == 1);
      CHECK(in_range);
    }
  }
}

TEST_CASE("ranges cover the size without overlap") {
  ThreadPool pool(3);
  for (int64_t size : {0, 1, 7, 8, 9, 100}) {
    std::vector<int> seen(static_cast<size_t>(size), 0);
    pool.run_ranges(size, 8, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    for (int count : seen) CHECK(count == 1);
  }
}

TEST_CASE("a loop inside a task runs inline") {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  std::atomic<bool> same_worker{true};
  pool.run(10, [&](int64_t outer, int worker) {
    pool.run(10, [&](int64_t inner, int inner_worker) {
      sum += outer * 10 + inner;
      if (inner_worker != worker) same_worker = false;
    });
  });
  CHECK(sum == 4950);
  CHECK(same_worker);
}

TEST_CASE("what a loop wrote is visible after it, loop after loop") {
  ThreadPool pool(4);
  std::vector<int64_t> values(64, 0);
  for (int round = 1; round <= 2000; ++round) {
    pool.run(64, [&](int64_t task, int) { values[static_cast<size_t>(task)] += task; });
    CHECK(std::accumulate(values.begin(), values.end(), int64_t{0}) == round * 2016);
  }
}

TEST_CASE("what a task throws comes out when no other runs any more, and the pool goes on") {
  for (int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::atomic<int> inside{0};
      bool thrown = false;
      try {
        pool.run(64, [&](int64_t task, int) {
          ++inside;
          if (task % 8 == round % 8) {
            --inside;
            throw std::bad_alloc();
          }
          --inside;
        });
      } catch (const std::bad_alloc&) {
        thrown = true;
        CHECK(inside == 0);
      }
      CHECK(thrown);
    }
    std::atomic<int> runs{0};
    pool.run(100, [&](int64_t, int) { ++runs; });
    CHECK(runs == 100);
  }
}
