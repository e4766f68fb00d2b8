#include "tests/fuzz/heap_watch.h"

#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#ifdef __SANITIZE_ADDRESS__
// Of sanitizer/allocator_interface.h and common_interface_defs.h, which not every compiler brings.
extern "C" {
int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, size_t),
                                              void (*)(const volatile void*));
size_t __sanitizer_get_allocated_size(const volatile void*);
void __sanitizer_print_stack_trace();
}
#endif

namespace zoetrope {
namespace {

std::atomic<int64_t> live{0}, base{0}, peak{0}, most{0};
std::atomic<const char*> name{""};

void refuse(int64_t bytes) {
  const int64_t limit = most.exchange(0);
  if (limit == 0) return;  // another thread is here already
  char text[256];
  const int length =
      std::snprintf(text, sizeof(text), "%s: %lld bytes more would make %lld, allowed are %lld\n",
                    name.load(), static_cast<long long>(bytes), static_cast<long long>(live - base),
                    static_cast<long long>(limit));
  [[maybe_unused]] const ssize_t written = ::write(2, text, static_cast<size_t>(length));
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_print_stack_trace();
#endif
  std::abort();
}

void count(int64_t bytes) {
  const int64_t now = live.fetch_add(bytes) + bytes - base;
  if (bytes <= 0) return;
  for (int64_t seen = peak; now > seen && !peak.compare_exchange_weak(seen, now);) {
  }
  if (const int64_t limit = most; limit > 0 && now > limit) refuse(bytes);
}

#ifdef __SANITIZE_ADDRESS__
void on_malloc(const volatile void*, size_t bytes) { count(static_cast<int64_t>(bytes)); }
void on_free(const volatile void* data) {
  if (data != nullptr) count(-static_cast<int64_t>(__sanitizer_get_allocated_size(data)));
}
const int installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
#endif

}  // namespace

void limit_heap(int64_t bytes, const char* what) {
#ifdef __SANITIZE_ADDRESS__
  if (installed == 0) std::abort();
#endif
  most = 0;
  name = what;
  base = live.load();
  peak = 0;
  most = bytes;
}

int64_t heap_peak() { return peak; }

}  // namespace zoetrope

#ifndef __SANITIZE_ADDRESS__
// Without a sanitizer: what C++ asks for.
namespace {
void* counted(void* data) {
  if (data == nullptr) throw std::bad_alloc();
  zoetrope::count(static_cast<int64_t>(malloc_usable_size(data)));
  return data;
}
void freed(void* data) noexcept {
  if (data != nullptr) zoetrope::count(-static_cast<int64_t>(malloc_usable_size(data)));
  std::free(data);
}
}  // namespace
void* operator new(size_t n) { return counted(std::malloc(n == 0 ? 1 : n)); }
void* operator new[](size_t n) { return counted(std::malloc(n == 0 ? 1 : n)); }
void* operator new(size_t n, std::align_val_t a) {
  const auto align = static_cast<size_t>(a);
  return counted(std::aligned_alloc(align, (n + align - 1) / align * align));
}
void* operator new[](size_t n, std::align_val_t a) { return operator new(n, a); }
void operator delete(void* p) noexcept { freed(p); }
void operator delete[](void* p) noexcept { freed(p); }
void operator delete(void* p, size_t) noexcept { freed(p); }
void operator delete[](void* p, size_t) noexcept { freed(p); }
void operator delete(void* p, std::align_val_t) noexcept { freed(p); }
void operator delete[](void* p, std::align_val_t) noexcept { freed(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { freed(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { freed(p); }
#endif
