// Whether memory was refused: what tells a library that lacked it from one that a file led astray.
#pragma once

#include <cstdint>

namespace zoetrope {

// For an allocator that stands before all others' (runtime/cli/allocator.cc): from now on it tells
// of each allocation by malloc, its kin or mmap, of any thread, that is refused.
void count_refusals();
void note_refusal();

// Whether any thread was refused memory a moment ago. Fit for handlers of signals. Where no
// allocator tells: as RefusalWatch.
bool memory_was_refused_lately();

// Whether memory was refused since it was made. Where no allocator tells, as in processes of
// others, this thread's errno does, which malloc leaves at ENOMEM, too, where mmap had what brk
// refused: it then says yes too often, and
// of other threads nothing.
class RefusalWatch {
 public:
  RefusalWatch();        // sets errno to 0
  bool refused() const;  // fit for handlers of signals

 private:
  int64_t before_ = 0;
};

}  // namespace zoetrope
