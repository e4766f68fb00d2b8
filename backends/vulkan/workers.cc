#include "backends/vulkan/workers.h"

#include <system_error>
#include <utility>

namespace zoetrope::vulkan {

Workers::~Workers() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (Thread& thread : threads_) thread.join();
}

void Workers::add(std::function<void()> task) {
  if (most_ == 0) return;
  bool start = false;
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    start = tasks_.size() > idle_ && threads_.size() < most_;
  }
  if (!start) return changed_.notify_one();
  try {
    threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    // No more threads for this process: those that there are do it, or whoever needs the result.
  }
}

void Workers::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [&] { return stopping_ || !tasks_.empty(); });
    --idle_;
    if (stopping_) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace zoetrope::vulkan
