#include "runtime/cli/last_resort.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "graph/format/output_file.h"
#include "runtime/backend/foreign_code.h"
#include "runtime/cli/command.h"
#include "runtime/cli/crash_site.h"

namespace zoetrope {
namespace {

// Fit for handlers of signals.
[[noreturn]] void end_at_once(int code, std::initializer_list<const char*> message) {
  remove_unfinished_files();
  for (const char* part : message)
    [[maybe_unused]] const ssize_t written = ::write(2, part, std::strlen(part));
  _exit(code);
}

// Other libraries crash, abort, exit or wait for ever where they get no memory.
void end_if_short_of_memory(const ForeignCode& code) {
  if (code.refused())
    end_at_once(kExitNoMemory,
                {"zoetrope: resource exhausted: another library ended the process in ", code.what(),
                 ": most likely it found no memory\n"});
}

void end_if_led_astray(const ForeignCode& code) {
  if (code.kind() == ForeignCode::Kind::kReading)
    end_at_once(kExitBadFile, {"zoetrope: data loss: another library ended the process in ",
                               code.what(), ": most likely the file is damaged\n"});
}

void end_of_foreign_code() {
  const ForeignCode* code = ForeignCode::current();
  if (code == nullptr) return;
  end_if_short_of_memory(*code);
  end_if_led_astray(*code);
  end_at_once(kExitFailure, {"zoetrope: internal error: another library ended the process in ",
                             code->what(), "\n"});
}

void end_where_the_cause_is_known(int number, const siginfo_t& info, const void* context) {
  if (number == SIGBUS && info.si_code == BUS_ADRERR)
    end_at_once(kExitBadFile, {"zoetrope: data loss: a file that is mapped, most likely the model, "
                               "became shorter while it was read\n"});
  if (const ForeignCode* code = ForeignCode::current(); code != nullptr) {
    end_if_short_of_memory(*code);
    end_if_led_astray(*code);
  }
  // Drivers, whose threads use what another was refused.
  if (!memory_was_refused_lately()) return;
  if (const char* library = foreign_library_at(context))
    end_at_once(kExitNoMemory, {"zoetrope: resource exhausted: ", library,
                                " crashed: most likely it found no memory\n"});
}

// A crash is ours to mend, but leaves no half-written file. Threads that read one file crash
// together: the first one's handler ends the process, the others wait for that.
extern "C" void on_crash(int number, siginfo_t* info, void* context) {
  static std::atomic_flag crashed;
  static thread_local volatile bool crashed_here = false;
  while (crashed.test_and_set() && !crashed_here) pause();
  const bool again = crashed_here;  // in here
  crashed_here = true;
  if (!again) {
    remove_unfinished_files();
    end_where_the_cause_is_known(number, *info, context);
  }
  std::signal(number, SIG_DFL);  // as if nobody had listened
  raise(number);
}

extern "C" void on_long_call(int) {
  const int error = errno;
  if (const ForeignCode* code = ForeignCode::current(); code != nullptr && code->is_overdue()) {
    if (interrupted() && code->kind() == ForeignCode::Kind::kReading) end_interrupted();
    end_if_short_of_memory(*code);
  }
  errno = error;
}

}  // namespace

void watch_long_calls() {
  struct sigaction action {};
  action.sa_handler = on_long_call;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  if (sigaction(SIGVTALRM, &action, nullptr) == 0) ForeignCode::signal_long_calls(SIGVTALRM);
}

void watch_crashes() {
  std::atexit(end_of_foreign_code);
  // A library that fails in telling of a failure runs out of stack.
  static char stack[64 << 10];
  const stack_t alternative{.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof(stack)};
  sigaltstack(&alternative, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_NODEFER | SA_SIGINFO | SA_ONSTACK;
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) {
    struct sigaction before {};
    sigaction(number, nullptr, &before);
    if (before.sa_handler == SIG_DFL) sigaction(number, &action, nullptr);  // sanitizers go first
  }
}

}  // namespace zoetrope
