// Calls of other libraries that do not come back.
#include "runtime/backend/foreign_code.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

using namespace zoetrope;

namespace {

constexpr int kNoMemory = 5, kNotInCall = 6;
volatile sig_atomic_t signals = 0;

// As the command's.
void on_long_call(int) {
  if (ForeignCall::current() == nullptr) _exit(kNotInCall);
  if (errno == ENOMEM) _exit(kNoMemory);
  signals = 1;
}

// A process that spins in a call with this in errno, until it was signalled.
pid_t spin(int error) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  const rlimit limit{10 * ForeignCall::kSecondsOfProcessor, 10 * ForeignCall::kSecondsOfProcessor};
  setrlimit(RLIMIT_CPU, &limit);
  ::signal(SIGVTALRM, on_long_call);
  ForeignCall::signal_long_calls(SIGVTALRM);
  errno = error;
  const ForeignCall call("spinning");
  while (signals == 0) {
  }
  _exit(0);
}

int exit_code_of(pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a call that does not come back is signalled on its own thread, with its own errno") {
  const pid_t refused = spin(ENOMEM), other = spin(EINVAL);
  REQUIRE(refused > 0);
  REQUIRE(other > 0);
  CHECK(exit_code_of(refused) == kNoMemory);
  CHECK(exit_code_of(other) == 0);
}
