// Calls of other libraries that do not come back.
#include "runtime/backend/foreign_code.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

using namespace zoetrope;

namespace {

constexpr int kNoMemory = 5, kNotInCall = 6;
volatile sig_atomic_t signals = 0;

// As the command's.
void on_long_call(int) {
  const ForeignCode* code = ForeignCode::current();
  if (code == nullptr) _exit(kNotInCall);
  if (code->refused()) _exit(kNoMemory);
  signals = 1;
}

void wait_in_a_call() {
  const ForeignCode call(ForeignCode::Kind::kWork, "waiting");
  while (signals == 0) pause();
}
void wait_once_refused() {
  const ForeignCode call(ForeignCode::Kind::kWork, "waiting");
  note_refusal();
  while (true) pause();
}
void wait_refused_before() {
  note_refusal();
  errno = ENOMEM;  // as malloc leaves it where it was refused once and succeeded then
  wait_in_a_call();
}

// How a process ends that waits as `wait` says. Bounded by another clock than that which is tested.
int exit_code_of(void (*wait)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20 * ForeignCode::kSeconds);
    ::signal(SIGVTALRM, on_long_call);
    ForeignCode::signal_long_calls(SIGVTALRM);
    count_refusals();
    wait();
    _exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a call that waits is signalled on its own thread, and knows what was refused within") {
  CHECK(exit_code_of(wait_in_a_call) == 0);
  CHECK(exit_code_of(wait_once_refused) == kNoMemory);
  CHECK(exit_code_of(wait_refused_before) == 0);
}

TEST_CASE("the innermost call is told, and errno is left as it was") {
  CHECK(ForeignCode::current() == nullptr);
  const ForeignCode loading(ForeignCode::Kind::kSetUp, "loading");
  {
    errno = ERANGE;
    const ForeignCode reading(ForeignCode::Kind::kReading, "reading");
    CHECK(errno == ERANGE);
    CHECK(ForeignCode::current() == &reading);
    CHECK(ForeignCode::current()->kind() == ForeignCode::Kind::kReading);
    errno = EDOM;
  }
  CHECK(errno == EDOM);
  CHECK(ForeignCode::current() == &loading);
}

TEST_CASE("where nobody counts, errno tells of refused memory") {
  RefusalWatch watch;
  CHECK(!watch.refused());
  errno = ENOMEM;
  CHECK(watch.refused());
  CHECK(!RefusalWatch().refused());
}
