// How many requests may wait for something at once, in all and of each owner: each holds a thread
// while it does, and some must be left for those that are answered at once. Thread safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace zoetrope {

using Permit = std::shared_ptr<void>;  // held as long as it lives

class Permits {
 public:
  Permits(int all, int of_owner) : all_(all), of_owner_(of_owner) {}

  // Null: too many wait; `own`: of this owner. The permit must not outlive this.
  Permit take(const std::string& owner, bool* own) {
    const std::lock_guard lock(mutex_);
    const auto it = held_.find(owner);
    *own = it != held_.end() && it->second >= of_owner_;
    if (*own || count_ >= all_) return nullptr;
    ++count_;
    ++held_[owner];
    return {this, [owner](Permits* from) { from->give_back(owner); }};
  }

 private:
  void give_back(const std::string& owner) {
    const std::lock_guard lock(mutex_);
    --count_;
    if (--held_[owner] == 0) held_.erase(owner);
  }

  const int all_, of_owner_;
  std::mutex mutex_;
  int count_ = 0;
  std::map<std::string, int> held_;
};

}  // namespace zoetrope
