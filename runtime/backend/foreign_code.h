// Code of other libraries that is known to crash, or to end the process, where it gets no memory:
// initialisers of libraries as they are loaded, oneDNN as it makes a kernel. A handler of signals
// asks here what was going on.
#pragma once

#include <time.h>

namespace zoetrope {

// While one lives its thread is in such code; `what` must outlive it: "making a kernel of oneDNN".
class ForeignCode {
 public:
  explicit ForeignCode(const char* what);
  ~ForeignCode();
  ForeignCode(const ForeignCode&) = delete;
  ForeignCode& operator=(const ForeignCode&) = delete;

  // Of this thread; null: none. Fit for handlers of signals.
  static const char* current();

 private:
  const char* const before_;
};

// A call of such code that comes back soon, as a codec's: an interrupt waits for it, and a crash in
// it is for want of memory only where errno says that this thread was refused some. So is a call
// that does not come back: libvpx asks for a frame for ever where there was no memory for one.
class ForeignCall {
 public:
  // `number` goes to the calling thread every kSecondsOfProcessor of its own time in one call.
  // A codec's own worker that spins is not seen: its caller waits and uses no time. Before the
  // first call, and only where it is handled.
  static constexpr int kSecondsOfProcessor = 3;
  static void signal_long_calls(int number);

  explicit ForeignCall(const char* what);
  ~ForeignCall();
  ForeignCall(const ForeignCall&) = delete;
  ForeignCall& operator=(const ForeignCall&) = delete;

  static const char* current();  // as ForeignCode's

 private:
  const char* const before_;
  timer_t timer_{};  // of this thread's time on the processor
  bool timed_ = false;
};

}  // namespace zoetrope
