// A bounded number of threads for work that nobody waits for here: compiling pipelines.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "graph/thread.h"

namespace zoetrope::vulkan {

class Workers {
 public:
  // Threads are started when there is work for them, `most` of them at most. Where none can be,
  // tasks are never begun.
  explicit Workers(size_t most) : most_(most) {}
  // Returns when the tasks that have begun are done; the others are dropped.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Tasks begin in this order. Called by the owner's thread only.
  void add(std::function<void()> task);

 private:
  void work();

  const size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;  // under mutex_, as are the next two
  size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<Thread> threads_;  // the owner's
};

}  // namespace zoetrope::vulkan
