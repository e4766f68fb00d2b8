// The command's own malloc and mmap, which count what the next ones refuse. The linker binds other
// libraries to it, too, as the program is where names are looked for first. Not in
// sanitizers, whose allocator must be the first.
#include <dlfcn.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

#include "runtime/backend/refused_memory.h"

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

[[gnu::constructor(101)]] void begin() { zoetrope::count_refusals(); }

}  // namespace

extern "C" {
void* malloc(size_t bytes) {
  static constinit std::atomic<void* (*)(size_t)> known{nullptr};
  return noted(next(&known, "malloc")(bytes));
}
void* calloc(size_t count, size_t bytes) {
  static constinit std::atomic<void* (*)(size_t, size_t)> known{nullptr};
  return noted(next(&known, "calloc")(count, bytes));
}
void* realloc(void* old, size_t bytes) {
  static constinit std::atomic<void* (*)(void*, size_t)> known{nullptr};
  void* const given = next(&known, "realloc")(old, bytes);
  return bytes == 0 ? given : noted(given);  // of no bytes: freed
}
void* memalign(size_t alignment, size_t bytes) {
  static constinit std::atomic<void* (*)(size_t, size_t)> known{nullptr};
  return noted(next(&known, "memalign")(alignment, bytes));
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  static constinit std::atomic<void* (*)(size_t, size_t)> known{nullptr};
  return noted(next(&known, "aligned_alloc")(alignment, bytes));
}
int posix_memalign(void** given, size_t alignment, size_t bytes) {
  static constinit std::atomic<int (*)(void**, size_t, size_t)> known{nullptr};
  const int code = next(&known, "posix_memalign")(given, alignment, bytes);
  if (code == ENOMEM) zoetrope::note_refusal();
  return code;
}
// libc's own calls do not come here.
void* mmap(void* wish, size_t bytes, int protection, int flags, int file, off_t offset) {
  static constinit std::atomic<void* (*)(void*, size_t, int, int, int, off_t)> known{nullptr};
  void* const given = next(&known, "mmap")(wish, bytes, protection, flags, file, offset);
  if (given == MAP_FAILED && errno == ENOMEM) zoetrope::note_refusal();
  return given;
}
void* mmap64(void* wish, size_t bytes, int protection, int flags, int file, off_t offset) {
  return mmap(wish, bytes, protection, flags, file, offset);
}
}
#endif
