// One case under watch.
#pragma once

#include <functional>

#include "graph/status.h"
#include "tests/fuzz/cases.h"

namespace zoetrope {

// Runs `body` within `heap` bytes and adds to what `take` gives how many it took, and how long.
CaseResult watched(int64_t heap, const std::function<void()>& body,
                   const std::function<CaseResult()>& take);

// Keeps an error as what the case said; one that is a mistake of ours as wrong. Whether there is
// any.
bool tell_failure(const Status& status, CaseResult* result);

}  // namespace zoetrope
