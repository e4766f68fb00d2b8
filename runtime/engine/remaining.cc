#include "runtime/engine/remaining.h"

#include <algorithm>

namespace zoetrope {
namespace {

// How much of the whole counts as seen at the estimate's pace before anything is.
constexpr double kTrust = 0.1;

}  // namespace

RemainingTime::RemainingTime(std::vector<ExpectedTask> tasks) : tasks_(std::move(tasks)) {
  for (const ExpectedTask& task : tasks_) total_ += task.seconds;
}

void RemainingTime::update(std::string_view task, double fraction, double now) {
  size_t at = task_;
  while (at < tasks_.size() && tasks_[at].name != task) ++at;
  if (at == tasks_.size()) return;
  task_ = at;
  double done = 0;
  for (size_t i = 0; i < at; ++i) done += tasks_[i].seconds;
  done += std::clamp(fraction, 0.0, 1.0) * tasks_[at].seconds;
  if (done < done_) return;
  done_ = done;
  spent_ = now;
}

double RemainingTime::left(double now) const {
  if (total_ <= 0) return -1;
  const double pace = (spent_ + kTrust * total_) / (done_ + kTrust * total_);
  return std::max(pace * (total_ - done_) - (now - spent_), 0.0);
}

}  // namespace zoetrope
