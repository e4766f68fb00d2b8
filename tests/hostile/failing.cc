// Loaded before all else into a command: allocations, and threads, that fail where a test says.
//   ZT_FAIL_AT=N       allocation N (from 0) fails; with ZT_FAIL_ON=1 every later one too
//   ZT_FAIL_THREAD=N   the making of thread N fails, and of every later one
//   ZT_FAIL_COUNT=FILE how many allocations there were
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {

std::atomic<long> seen{0}, threads{0};
long fail_at = -1, fail_thread = -1;
bool fail_on = false;

long number(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? -1 : std::strtol(text, nullptr, 10);
}

[[gnu::constructor(101)]] void read_environment() {
  fail_at = number("ZT_FAIL_AT");
  fail_on = number("ZT_FAIL_ON") > 0;
  fail_thread = number("ZT_FAIL_THREAD");
}

[[gnu::destructor]] void tell_count() {
  const char* path = std::getenv("ZT_FAIL_COUNT");
  if (path == nullptr) return;
  char text[32];
  const int length = std::snprintf(text, sizeof(text), "%ld", seen.load());
  const int file = ::open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file >= 0) (void)!::write(file, text, static_cast<size_t>(length));
}

bool fails() {
  const long at = seen.fetch_add(1);
  if (fail_at < 0 || !(at == fail_at || (fail_on && at > fail_at))) return false;
  errno = ENOMEM;
  return true;
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
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) {
  using Make = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static Make* const make = reinterpret_cast<Make*>(dlsym(RTLD_NEXT, "pthread_create"));
  if (fail_thread >= 0 && threads.fetch_add(1) >= fail_thread) return EAGAIN;
  return make(thread, attributes, run, argument);
}
}
