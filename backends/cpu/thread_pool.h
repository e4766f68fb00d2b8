// A fixed set of threads that run the tasks of one loop at a time. Kernels cut their work into
// tasks by shape alone, never by the number of threads, so results do not depend on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <vector>

#include "graph/thread.h"

namespace zoetrope::cpu {

class ThreadPool {
 public:
  // `threads` counts the caller: 1 starts no thread. At least 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(task, worker) once for each task in [0, tasks), worker in [0, threads()), and
  // returns when all are done. What a body throws (memory that a library cannot get) is thrown here
  // once no task runs any more; tasks that had not begun are left out. One caller at a time; a call
  // from inside a body runs its tasks inline with the same worker.
  template <typename Body>
  void run(int64_t tasks, const Body& body) {
    run_impl(tasks, &body, [](const void* b, int64_t task, int worker) {
      (*static_cast<const Body*>(b))(task, worker);
    });
  }

  // Cuts [0, size) into ranges of `grain` (the last may be shorter): body(begin, end, worker).
  template <typename Body>
  void run_ranges(int64_t size, int64_t grain, const Body& body) {
    if (size <= 0) return;
    run((size + grain - 1) / grain, [&](int64_t task, int worker) {
      const int64_t begin = task * grain;
      body(begin, begin + grain < size ? begin + grain : size, worker);
    });
  }

 private:
  using Trampoline = void (*)(const void* body, int64_t task, int worker);
  struct Job {
    const void* body = nullptr;
    Trampoline call = nullptr;
    int64_t tasks = 0;
  };

  void run_impl(int64_t tasks, const void* body, Trampoline call);
  void work(int worker);
  void drain(int worker);
  void worker_loop(int worker);
  void stop();

  Job job_;
  // Each on a cache line of its own: every thread writes them.
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int32_t> busy_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};  // counts the jobs
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;  // of the first who set failed_
  std::vector<Thread> workers_;
};

}  // namespace zoetrope::cpu
