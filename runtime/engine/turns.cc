#include "runtime/engine/turns.h"

namespace zoetrope {

Turns::Turn::Turn(Turns& turns) : turns_(turns) {
  const std::lock_guard lock(turns_.mutex_);
  ticket_ = turns_.next_++;
  turns_.queue_.push_back(ticket_);
}

Turns::Turn::~Turn() {
  {
    const std::lock_guard lock(turns_.mutex_);
    std::erase(turns_.queue_, ticket_);
  }
  turns_.changed_.notify_all();
}

bool Turns::Turn::wait(const std::stop_token& stop) {
  std::unique_lock lock(turns_.mutex_);
  return turns_.changed_.wait(lock, stop, [&] { return turns_.queue_.front() == ticket_; });
}

}  // namespace zoetrope
