// The command's own malloc and mmap, which count what the next ones refuse. The linker binds other
// libraries to it, too, as the program is where names are looked for first. Not in
// sanitizers, whose allocator must be the first.
#include <dlfcn.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

#include "runtime/backend/refused_memory.h"

// Code that lies in a section of its own, as crash_site.cc passes over it.
#define ZT_ALLOCATOR [[gnu::section("zoetrope_allocator"), gnu::noinline]]

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
namespace {

// A function of the next library that has one: libc's, or of an allocator that was loaded before
// it.
template <typename Function>
Function* next(std::atomic<Function*>* known, const char* name) {
  Function* function = known->load(std::memory_order_relaxed);
  if (function == nullptr) {
    function = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
    known->store(function, std::memory_order_relaxed);
  }
  return function;
}

void* noted(void* given) {
  if (given == nullptr) zoetrope::note_refusal();
  return given;
}

void* noted_unless_invalid(void* given) {
  return given == nullptr && errno == EINVAL ? nullptr : noted(given);
}

[[gnu::constructor(101)]] void begin() { zoetrope::count_refusals(); }

}  // namespace

extern "C" {
ZT_ALLOCATOR void* malloc(size_t bytes) {
  static constinit std::atomic<void* (*)(size_t)> known{nullptr};
  return noted(next(&known, "malloc")(bytes));
}
ZT_ALLOCATOR void* calloc(size_t count, size_t bytes) {
  static constinit std::atomic<void* (*)(size_t, size_t)> known{nullptr};
  return noted(next(&known, "calloc")(count, bytes));
}
ZT_ALLOCATOR void* realloc(void* old, size_t bytes) {
  static constinit std::atomic<void* (*)(void*, size_t)> known{nullptr};
  void* const given = next(&known, "realloc")(old, bytes);
  return bytes == 0 ? given : noted(given);  // of no bytes: freed
}
ZT_ALLOCATOR void* memalign(size_t alignment, size_t bytes) {
  static constinit std::atomic<void* (*)(size_t, size_t)> known{nullptr};
  return noted_unless_invalid(next(&known, "memalign")(alignment, bytes));
}
ZT_ALLOCATOR void* aligned_alloc(size_t alignment, size_t bytes) {
  static constinit std::atomic<void* (*)(size_t, size_t)> known{nullptr};
  return noted_unless_invalid(next(&known, "aligned_alloc")(alignment, bytes));
}
ZT_ALLOCATOR int posix_memalign(void** given, size_t alignment, size_t bytes) {
  static constinit std::atomic<int (*)(void**, size_t, size_t)> known{nullptr};
  const int code = next(&known, "posix_memalign")(given, alignment, bytes);
  if (code == ENOMEM) zoetrope::note_refusal();
  return code;
}
// libc's own calls do not come here.
ZT_ALLOCATOR void* mmap(void* wish, size_t bytes, int protection, int flags, int file,
                        off_t offset) {
  static constinit std::atomic<void* (*)(void*, size_t, int, int, int, off_t)> known{nullptr};
  void* const given = next(&known, "mmap")(wish, bytes, protection, flags, file, offset);
  // Huge pages and low addresses are asked for in vain where others will do.
  const bool wish_only = (flags & (MAP_HUGETLB | MAP_32BIT)) != 0;
  if (given == MAP_FAILED && errno == ENOMEM && !wish_only) zoetrope::note_refusal();
  return given;
}
ZT_ALLOCATOR void* mmap64(void* wish, size_t bytes, int protection, int flags, int file,
                          off_t offset) {
  return mmap(wish, bytes, protection, flags, file, offset);
}
}
#endif
