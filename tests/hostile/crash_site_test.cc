// Whose crash it is, asked in processes that crash.
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/cli/crash_site.h"
#include "tests/hostile/crashing.h"

using namespace zoetrope;

namespace {

int* volatile g_nowhere = nullptr;
int g_told = -1;  // where the handler writes the name

extern "C" void tell(int, siginfo_t*, void* context) {
  const char* library = foreign_library_at(context);
  if (library == nullptr) library = "ours or unknown";
  [[maybe_unused]] const ssize_t written = ::write(g_told, library, std::strlen(library));
  _exit(0);
}

std::string crashed_in(void (*crash)()) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t process = ::fork();
  REQUIRE(process >= 0);
  if (process == 0) {
    g_told = ends[1];
    struct sigaction action {};
    action.sa_sigaction = tell;
    action.sa_flags = SA_SIGINFO;
    for (const int number : {SIGSEGV, SIGABRT}) sigaction(number, &action, nullptr);
    crash();
    _exit(1);
  }
  ::close(ends[1]);
  char text[256] = {};
  [[maybe_unused]] const ssize_t read = ::read(ends[0], text, sizeof(text) - 1);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(process, &status, 0);
  CHECK(WIFEXITED(status));
  return text;
}

}  // namespace

TEST_CASE("a crash is the library's whose code it is, or that called libc into it") {
  const std::string library = "libcrashing.so";
  CHECK(crashed_in(crash_here) == library);
  CHECK(crashed_in(crash_in_libc) == library);
  CHECK(crashed_in(crash_at_null) == library);
  CHECK(crashed_in(crash_in_a_thread) == library);
  CHECK(crashed_in([] { call_back(crash_in_libc); }) == library);
}

TEST_CASE("our own crash is no library's, also where one called us") {
  const std::string ours = "ours or unknown";
  CHECK(crashed_in([] { *g_nowhere = 1; }) == ours);
  CHECK(crashed_in([] { std::memset(g_nowhere, 1, 4096); }) == ours);
  CHECK(crashed_in([] { std::abort(); }) == ours);
  CHECK(crashed_in([] { call_back([] { *g_nowhere = 1; }); }) == ours);
}
