// Counts what a process has allocated, and ends it, with a trace, where that is more than allowed.
#pragma once

#include <cstdint>

namespace zoetrope {

// From now on `bytes` more than now may be allocated at a time; 0: any number. `what` names the
// case in the message and must live on.
void limit_heap(int64_t bytes, const char* what);
// The most that was allocated at a time since then.
int64_t heap_peak();

}  // namespace zoetrope
