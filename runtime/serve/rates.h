// How often one may ask: a bucket each that fills evenly. Thread safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>
#include <string>

namespace zoetrope {

class Rates {
 public:
  // So many a minute, as many of them at once, but at least one; 0: no limit.
  explicit Rates(double a_minute) : a_minute_(a_minute), most_(std::max(1.0, a_minute)) {}

  // 0: go on. Else the seconds until there is room.
  int wait(const std::string& who) {
    using Clock = std::chrono::steady_clock;
    if (a_minute_ <= 0) return 0;
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    const auto filled = [&](const Bucket& b) {
      const double minutes = std::chrono::duration<double>(now - b.since).count() / 60;
      return std::min(most_, b.left + minutes * a_minute_);
    };
    if (buckets_.size() >= kMany)  // full ones say nothing
      std::erase_if(buckets_, [&](const auto& b) { return filled(b.second) >= most_; });
    const bool known = buckets_.size() < kMany || buckets_.contains(who);
    Bucket& bucket = buckets_.try_emplace(known ? who : kOthers, Bucket{most_, now}).first->second;
    bucket = {filled(bucket), now};
    if (bucket.left >= 1) {
      --bucket.left;
      return 0;
    }
    return static_cast<int>(std::ceil((1 - bucket.left) * 60 / a_minute_));
  }

 private:
  static constexpr size_t kMany = 10000;
  inline static const std::string kOthers = "others";  // share one, where there are that many
  struct Bucket {
    double left;
    std::chrono::steady_clock::time_point since;
  };
  const double a_minute_, most_;
  std::mutex mutex_;
  std::map<std::string, Bucket> buckets_;
};

}  // namespace zoetrope
