// Code of other libraries that is known to crash, or to end the process, where it gets no memory:
// initialisers of libraries as they are loaded, oneDNN as it makes a kernel. A handler of signals
// asks here what was going on.
#pragma once

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
// it is for want of memory only where errno says that this thread was refused some.
class ForeignCall {
 public:
  explicit ForeignCall(const char* what);
  ~ForeignCall();
  ForeignCall(const ForeignCall&) = delete;
  ForeignCall& operator=(const ForeignCall&) = delete;

  static const char* current();  // as ForeignCode's

 private:
  const char* const before_;
};

}  // namespace zoetrope
