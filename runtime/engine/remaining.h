// How long a run still takes: begins with the plan's estimate, and leans on the measured pace the
// more of it is done.
#pragma once

#include <string_view>
#include <vector>

#include "runtime/engine/request_plan.h"

namespace zoetrope {

class RemainingTime {
 public:
  explicit RemainingTime(std::vector<ExpectedTask> tasks);

  // `fraction` of a task is done, `now` seconds after the begin. Tasks come in the plan's order;
  // one that it does not know changes nothing.
  void update(std::string_view task, double fraction, double now);

  // Seconds left at `now`; less than 0 where the plan could not tell.
  double left(double now) const;

 private:
  std::vector<ExpectedTask> tasks_;
  size_t task_ = 0;
  double total_ = 0;             // expected
  double done_ = 0, spent_ = 0;  // expected seconds of what is done, and what it took
};

}  // namespace zoetrope
