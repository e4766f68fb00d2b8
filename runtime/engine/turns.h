// One at a time, first come first served; whoever waits can be called off.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <stop_token>

namespace zoetrope {

class Turns {
 public:
  // A place in the queue, left when dropped. `turns` must outlive it.
  class Turn {
   public:
    explicit Turn(Turns& turns);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    // Until this one is first. False where `stop` came before.
    bool wait(const std::stop_token& stop);

   private:
    Turns& turns_;
    uint64_t ticket_ = 0;
  };

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<uint64_t> queue_;  // the first has its turn
  uint64_t next_ = 0;
};

}  // namespace zoetrope
