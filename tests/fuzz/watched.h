// One case under watch.
#pragma once

#include <cstdio>
#include <functional>
#include <string>

#include "graph/status.h"
#include "tests/fuzz/cases.h"

namespace zoetrope {

// Runs `body` within `heap` bytes and adds to what `take` gives how many it took, and how long.
CaseResult watched(int64_t heap, const std::function<void()>& body,
                   const std::function<CaseResult()>& take);

// A Case of one kind: made, its changes told where asked for, tried under watch.
template <typename Case>
CaseResult run_case(uint64_t number, const std::string& folder, bool tell, int64_t heap) {
  Case one(number, folder);
  one.make();
  if (tell)
    for (const std::string& change : one.changes()) std::fprintf(stderr, "%s\n", change.c_str());
  return watched(
      heap, [&] { one.try_it(); }, [&] { return one.take(); });
}

// Keeps an error as what the case said; one that is a mistake of ours as wrong. Whether there is
// any.
bool tell_failure(const Status& status, CaseResult* result);

}  // namespace zoetrope
