// Loaded before all else into a command: allocations, and threads, that fail where a test says.
//   ZT_FAIL_AT=N       allocation N (from 0) fails; with ZT_FAIL_ON=1 every later one too
//   ZT_FAIL_CRASH=1    what asks for that allocation crashes instead, as if it used it unasked
//   ZT_FAIL_ERRNO=1    allocations that succeed leave ENOMEM in errno, as malloc does where brk
//   fails ZT_FAIL_THREAD=N   the making of thread N fails, and of every later one
//   ZT_FAIL_STACKS=FILE  the number of the first allocation of every call stack that allocates
//   ZT_FAIL_FORK=...     copies of the process in which each allocation fails (forks.h)
//   ZT_FAIL_SEEN=FILE   only where the call stack is not one of those in the file (stacks.h)
//   ZT_FAIL_NAMELESS=1  files without a name are refused, as some file systems do
//   ZT_FAIL_COUNT=FILE, ZT_FAIL_THREADS=FILE  how many allocations, or threads, there were
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/hostile/forks.h"
#include "tests/hostile/stacks.h"

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {

std::atomic<long> seen{0}, threads{0};
long fail_at = -1, fail_thread = -1;
bool fail_on = false, fail_nameless = false, fail_crash = false, fail_errno = false;

int stacks_file = -1;
bool new_stacks_only = false;

long number(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? -1 : std::strtol(text, nullptr, 10);
}

// At the first allocation, which may be that of another library's constructor.
void read_environment() {
  fail_at = number("ZT_FAIL_AT");
  fail_on = number("ZT_FAIL_ON") > 0;
  fail_crash = number("ZT_FAIL_CRASH") > 0;
  fail_errno = number("ZT_FAIL_ERRNO") > 0;
  fail_thread = number("ZT_FAIL_THREAD");
  fail_nameless = number("ZT_FAIL_NAMELESS") > 0;
  begin_forks();
}

// Behind the constructors of the command's libraries.
[[gnu::constructor(101)]] void begin() {
  allow_forks();
  const char* path = std::getenv("ZT_FAIL_STACKS");
  new_stacks_only = std::getenv("ZT_FAIL_SEEN") != nullptr;
  if (path == nullptr && !new_stacks_only) return;
  begin_stacks();
  if (path != nullptr) stacks_file = ::open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
}

void note(long at) {
  char text[32];
  const int length = std::snprintf(text, sizeof(text), "%ld\n", at);
  (void)!::write(stacks_file, text, static_cast<size_t>(length));
}

void tell(const char* variable, long count) {
  const char* path = std::getenv(variable);
  if (path == nullptr) return;
  char text[32];
  const int length = std::snprintf(text, sizeof(text), "%ld", count);
  const int file = ::open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file >= 0) (void)!::write(file, text, static_cast<size_t>(length));
}

[[gnu::destructor]] void tell_counts() {
  tell("ZT_FAIL_COUNT", seen.load());
  tell("ZT_FAIL_THREADS", threads.load());
}

bool refuse() {
  errno = ENOMEM;
  if (fail_crash) raise(SIGSEGV);
  return true;
}

bool fails_here() {
  const long at = seen.fetch_add(1);
  if (at == 0) read_environment();
  if (is_copy()) return at == fail_at || (fail_on && at > fail_at) ? refuse() : false;
  const bool here = stacks_file < 0 && !new_stacks_only ? true : is_new_stack();
  if (here && stacks_file >= 0) note(at);
  if (here && fork_at(at, &fail_on)) fail_at = at;
  return fail_at >= 0 && (at == fail_at || (fail_on && at > fail_at)) ? refuse() : false;
}

bool fails() {
  const bool failed = fails_here();
  if (fail_errno) errno = ENOMEM;
  return failed;
}

}  // namespace

extern "C" {
void* malloc(size_t n) { return fails() ? nullptr : __libc_malloc(n); }
void* calloc(size_t n, size_t size) { return fails() ? nullptr : __libc_calloc(n, size); }
void* realloc(void* p, size_t n) { return n > 0 && fails() ? nullptr : __libc_realloc(p, n); }
void* memalign(size_t alignment, size_t n) {
  return fails() ? nullptr : __libc_memalign(alignment, n);
}
void* aligned_alloc(size_t alignment, size_t n) {
  return fails() ? nullptr : __libc_memalign(alignment, n);
}
int posix_memalign(void** p, size_t alignment, size_t n) {
  if (fails()) return ENOMEM;
  *p = __libc_memalign(alignment, n);
  return *p == nullptr ? ENOMEM : 0;
}
int open(const char* path, int flags, ...) {
  using Open = int(const char*, int, ...);
  static Open* const open = reinterpret_cast<Open*>(dlsym(RTLD_NEXT, "open"));
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  if (fail_nameless && (flags & O_TMPFILE) == O_TMPFILE) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return open(path, flags, mode);
}
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) {
  using Make = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static Make* const make = reinterpret_cast<Make*>(dlsym(RTLD_NEXT, "pthread_create"));
  if (const long at = threads.fetch_add(1); fail_thread >= 0 && at >= fail_thread) return EAGAIN;
  return make(thread, attributes, run, argument);
}
}
