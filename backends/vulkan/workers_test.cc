#include "backends/vulkan/workers.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

using zoetrope::vulkan::Workers;

TEST_CASE("every task is done once, whatever the number of threads") {
  for (size_t threads : {1, 2, 5}) {
    std::atomic<int> sum = 0;
    std::promise<void> all;
    std::atomic<int> left = 100;
    {
      Workers workers(threads);
      for (int i = 1; i <= 100; ++i)
        workers.add([&, i] {
          sum += i;
          if (--left == 0) all.set_value();
        });
      all.get_future().wait();
    }
    CHECK(sum == 5050);
  }
}

TEST_CASE("tasks begin in order") {
  std::vector<int> order;
  std::promise<void> last;
  Workers workers(1);
  for (int i = 0; i < 20; ++i) workers.add([&, i] { order.push_back(i); });
  workers.add([&] { last.set_value(); });
  last.get_future().wait();
  REQUIRE(order.size() == 20);
  for (int i = 0; i < 20; ++i) CHECK(order[static_cast<size_t>(i)] == i);
}

TEST_CASE("the end waits for what has begun and drops the rest") {
  std::promise<void> begun, ending;
  bool finished = false, dropped = true;
  {
    Workers workers(1);
    workers.add([&] {
      begun.set_value();
      ending.get_future().wait();
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      finished = true;
    });
    workers.add([&] { dropped = false; });
    begun.get_future().wait();
    ending.set_value();
  }
  CHECK(finished);
  CHECK(dropped);
}

TEST_CASE("without threads nothing is begun") {
  bool done = false;
  {
    Workers workers(0);
    workers.add([&] { done = true; });
  }
  CHECK(!done);
}
