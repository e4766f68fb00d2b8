#include "runtime/backend/foreign_code.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>

namespace zoetrope {
namespace {

thread_local const ForeignCode* running = nullptr;
thread_local int periods = 0;  // of kSeconds, in the outermost one
int long_calls = 0;            // the signal; 0: none
constexpr int kSetUpPeriods = 4;

}  // namespace

ForeignCode::ForeignCode(Kind kind, const char* what) : ForeignCode(kind, what, errno) {}

// Where there is no timer to be had, nobody is told. errno is the caller's, who may read refused
// memory in it.
ForeignCode::ForeignCode(Kind kind, const char* what, int error)
    : kind_(kind), what_(what), before_(running) {
  running = this;
  if (before_ == nullptr) periods = 0;
  if (before_ == nullptr && long_calls != 0) begin_timer();
  errno = error;
}
ForeignCode::~ForeignCode() {
  const int error = errno;
  if (timed_) ::timer_delete(timer_);
  running = before_;
  errno = error;
}

void ForeignCode::begin_timer() {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = long_calls;
  event._sigev_un._tid = ::gettid();  // sigev_notify_thread_id, which not every header has
  timed_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
  const itimerspec period{{kSeconds, 0}, {kSeconds, 0}};
  if (timed_) ::timer_settime(timer_, 0, &period, nullptr);
}

const ForeignCode* ForeignCode::current() { return running; }
bool ForeignCode::is_overdue() const {
  return ++periods >= (kind_ == Kind::kSetUp ? kSetUpPeriods : 1);
}
void ForeignCode::signal_long_calls(int number) { long_calls = number; }

}  // namespace zoetrope
