#include "tests/hostile/crashing.h"

#include <cstring>
#include <thread>

namespace {

// The compiler must not see what they are.
int* volatile g_nowhere = nullptr;
void (*volatile g_nothing)() = nullptr;
volatile int g_after = 0;  // no call is the last thing that a function does

}  // namespace

void crash_here() { *g_nowhere = 1; }
void crash_in_libc() {
  std::memset(g_nowhere, 1, 4096);
  g_after = 1;
}
void crash_at_null() {
  g_nothing();
  g_after = 1;
}
void crash_in_a_thread() { std::thread(crash_here).join(); }
void call_back(void (*function)()) {
  function();
  g_after = 1;
}
