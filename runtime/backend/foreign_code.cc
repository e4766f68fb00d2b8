#include "runtime/backend/foreign_code.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>

namespace zoetrope {
namespace {

thread_local const char* running = nullptr;
thread_local const char* called = nullptr;
int long_calls = 0;  // the signal; 0: none

}  // namespace

ForeignCode::ForeignCode(const char* what) : before_(running) { running = what; }
ForeignCode::~ForeignCode() { running = before_; }
const char* ForeignCode::current() { return running; }

// Where there is no timer to be had, nobody is told. errno is the caller's, who reads refused
// memory in it.
ForeignCall::ForeignCall(const char* what) : before_(called) {
  called = what;
  if (before_ != nullptr || long_calls == 0) return;
  const int error = errno;
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = long_calls;
  event._sigev_un._tid = ::gettid();  // sigev_notify_thread_id, which not every header has
  timed_ = ::timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer_) == 0;
  const itimerspec period{{kSecondsOfProcessor, 0}, {kSecondsOfProcessor, 0}};
  if (timed_) ::timer_settime(timer_, 0, &period, nullptr);
  errno = error;
}
ForeignCall::~ForeignCall() {
  if (timed_) ::timer_delete(timer_);
  called = before_;
}
void ForeignCall::signal_long_calls(int number) { long_calls = number; }
const char* ForeignCall::current() { return called; }

}  // namespace zoetrope
