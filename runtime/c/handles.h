// Handles of one kind: numbers that look like pointers. None is given twice, so that one that was
// closed is known as such for ever; whoever works with an object holds it until done.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "graph/status.h"

namespace zoetrope {

// Odd: the address of nothing that a program could have. Over all kinds: a handle of another kind
// is found as such.
inline uintptr_t next_handle() {
  static std::atomic<uintptr_t> next{0x5a01};
  return next.fetch_add(2);
}

template <typename Handle, typename T>
class Handles {
 public:
  // `what` names the kind in messages.
  explicit Handles(const char* what) : what_(what) {}

  Handle* add(std::shared_ptr<T> object) {
    const uintptr_t number = next_handle();
    const std::lock_guard lock(mutex_);
    objects_.emplace(number, Entry{std::move(object), ::getpid()});
    return reinterpret_cast<Handle*>(number);
  }

  Result<std::shared_ptr<T>> find(const Handle* handle) {
    if (handle == nullptr)
      return error(Code::kInvalidArgument, what_, ": expected one, found NULL");
    const std::lock_guard lock(mutex_);
    const auto it = objects_.find(reinterpret_cast<uintptr_t>(handle));
    if (it == objects_.end())
      return error(Code::kInvalidArgument, what_, ": this is none, or it was closed");
    if (it->second.process != ::getpid())
      return error(Code::kUnavailable, what_,
                   ": made before fork(); threads and devices are not in this process. Make one "
                   "after it");
    return it->second.object;
  }

  // Forgets it; whoever holds it goes on. What another process made is left as it is: its threads
  // are not here to be ended.
  void remove(const Handle* handle) {
    std::shared_ptr<T> last;  // destroyed without the lock
    const std::lock_guard lock(mutex_);
    const auto it = objects_.find(reinterpret_cast<uintptr_t>(handle));
    if (it == objects_.end()) return;
    last = std::move(it->second.object);
    if (it->second.process != ::getpid()) new std::shared_ptr<T>(std::move(last));
    objects_.erase(it);
  }

 private:
  struct Entry {
    std::shared_ptr<T> object;
    pid_t process;
  };
  const char* const what_;
  std::mutex mutex_;
  std::map<uintptr_t, Entry> objects_;
};

}  // namespace zoetrope
