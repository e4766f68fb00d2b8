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

}  // namespace zoetrope
