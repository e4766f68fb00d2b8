// Code of other libraries that is known to crash, to end the process or to wait for ever where it
// gets no memory, or on damaged files. A handler of signals asks here what was going on.
#pragma once

#include <time.h>

#include "runtime/backend/refused_memory.h"

namespace zoetrope {

// While one lives its thread is in such code.
class ForeignCode {
 public:
  enum class Kind {
    kSetUp,    // a library being loaded, a kernel being made: an interrupt ends the process
    kWork,     // a codec's call, which comes back soon: an interrupt waits for it
    kReading,  // kWork that goes where a file leads
  };

  // `what` must outlive it: "making a kernel of oneDNN".
  ForeignCode(Kind kind, const char* what);
  ~ForeignCode();
  ForeignCode(const ForeignCode&) = delete;
  ForeignCode& operator=(const ForeignCode&) = delete;

  // Fit for handlers of signals. Of this thread, the innermost; null: none.
  static const ForeignCode* current();
  Kind kind() const { return kind_; }
  const char* what() const { return what_; }
  // Since it began: what it did then, or never came back from, is most likely for want of memory.
  bool refused() const { return memory_.refused(); }

  // `number` goes to the thread for each kSeconds that its outermost one lasts. Whatever comes back
  // once memory was refused, its caller would refuse it; libvpx asks for a frame for ever then, and
  // GLib waits for itself. Before the first one, and only where it is handled.
  static constexpr int kSeconds = 3;
  static void signal_long_calls(int number);
  // Called once for each such signal: whether the current one should be over. Setting up waits for
  // disks and compilers.
  bool is_overdue() const;

 private:
  ForeignCode(Kind kind, const char* what, int error);
  void begin_timer();

  const Kind kind_;
  const char* const what_;
  const ForeignCode* const before_;
  RefusalWatch memory_;
  timer_t timer_{};
  bool timed_ = false;
};

}  // namespace zoetrope
