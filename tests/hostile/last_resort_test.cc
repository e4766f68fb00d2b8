// Calls of other libraries that do not come back, in processes with the command's own handlers.
#include "runtime/cli/last_resort.h"

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "runtime/backend/foreign_code.h"
#include "runtime/cli/command.h"

using namespace zoetrope;

namespace {

using Kind = ForeignCode::Kind;

// Longer than what is too long, whatever signals come.
void wait_long() {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(1500 * ForeignCode::kSeconds);
  while (Clock::now() < end) ::usleep(100'000);
}
void wait_in(Kind kind) {
  const ForeignCode call(kind, "waiting");
  wait_long();
}

// How a process ends that does so. Bounded by another clock than that which is tested.
int exit_code_of(void (*act)()) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(20 * ForeignCode::kSeconds);
    watch_long_calls();
    install_interrupt_handler();
    count_refusals();
    act();
    _exit(kExitOk);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a call that waits is ended where memory was refused within it, and not before") {
  CHECK(exit_code_of([] { wait_in(Kind::kWork); }) == kExitOk);
  CHECK(exit_code_of([] {
          const ForeignCode call(Kind::kWork, "waiting");
          note_refusal();
          wait_long();
        }) == kExitNoMemory);
  CHECK(exit_code_of([] {
          note_refusal();
          errno = ENOMEM;  // as malloc leaves it where it was refused once and succeeded then
          wait_in(Kind::kWork);
        }) == kExitOk);
}

TEST_CASE("setting up may take longer, as disks and compilers do") {
  CHECK(exit_code_of([] {
          const ForeignCode call(Kind::kSetUp, "waiting");
          note_refusal();
          wait_long();
        }) == kExitOk);
}

TEST_CASE(
    "an interrupt waits for work, for reading no longer than such calls take, for nothing else") {
  const auto interrupted_in = [](Kind kind) {
    static Kind in;
    in = kind;
    return exit_code_of([] {
      const ForeignCode call(in, "waiting");
      ::raise(SIGTERM);
      wait_long();
    });
  };
  CHECK(interrupted_in(Kind::kWork) == kExitOk);
  CHECK(interrupted_in(Kind::kReading) == kExitSignal + SIGTERM);
  CHECK(interrupted_in(Kind::kSetUp) == kExitSignal + SIGTERM);
}
