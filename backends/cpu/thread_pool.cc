#include "backends/cpu/thread_pool.h"

#include <immintrin.h>

#include <algorithm>
#include <utility>

namespace zoetrope::cpu {
namespace {

// The worker that this thread is while it runs a body, else -1.
thread_local int tls_worker = -1;

// Layers follow each other within microseconds: spinning that long is cheaper than sleeping.
constexpr int kSpins = 2000;

// Denormals cost a hundred cycles each and carry nothing here: treated as zero inside kernels.
class FlushDenormals {
 public:
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
};

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const int extra = std::max(threads, 1) - 1;
  workers_.reserve(static_cast<size_t>(extra));
  try {
    for (int i = 0; i < extra; ++i) workers_.emplace_back([this, i] { worker_loop(i + 1); });
  } catch (...) {  // those that were started must not outlive this
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stop_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (Thread& thread : workers_) thread.join();
}

void ThreadPool::drain(int worker) {
  tls_worker = worker;
  const Job job = job_;
  try {
    for (int64_t task = next_.fetch_add(1, std::memory_order_relaxed); task < job.tasks;
         task = next_.fetch_add(1, std::memory_order_relaxed))
      job.call(job.body, task, worker);
  } catch (...) {
    if (!failed_.exchange(true)) failure_ = std::current_exception();
    next_.store(job.tasks, std::memory_order_relaxed);  // nobody begins another
  }
  tls_worker = -1;
}

void ThreadPool::run_impl(int64_t tasks, const void* body, Trampoline call) {
  if (tls_worker >= 0 || workers_.empty() || tasks <= 1) {
    const int worker = std::max(tls_worker, 0);
    const FlushDenormals flush;
    for (int64_t task = 0; task < tasks; ++task) call(body, task, worker);
    return;
  }
  job_ = {body, call, tasks};
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int32_t>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1);  // publishes the job
  epoch_.notify_all();
  {
    const FlushDenormals flush;
    drain(0);
  }
  for (int spin = 0; busy_.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins) {
      _mm_pause();
    } else if (const int32_t left = busy_.load(std::memory_order_acquire); left != 0) {
      busy_.wait(left, std::memory_order_acquire);
    }
  }
  // Only now: the others have read `body` until here.
  if (failed_.exchange(false)) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::worker_loop(int worker) {
  const FlushDenormals flush;
  uint32_t seen = 0;
  while (true) {
    for (int spin = 0; epoch_.load(std::memory_order_acquire) == seen; ++spin) {
      if (spin < kSpins) {
        _mm_pause();
      } else {
        epoch_.wait(seen, std::memory_order_acquire);
      }
    }
    // Every worker takes part in every job, so it never skips an epoch.
    ++seen;
    if (stop_.load()) return;
    drain(worker);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace zoetrope::cpu
