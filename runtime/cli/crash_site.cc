#include "runtime/cli/crash_site.h"

#include <dlfcn.h>
#include <link.h>
#include <ucontext.h>
#include <unwind.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace zoetrope {
namespace {

struct Search {
  uintptr_t crashed_at = 0;
  bool begun = false;  // the handler's own frames come first
  const char* found = nullptr;
};

// What the linker calls the ends of allocator.cc's functions, which stand between libc and who
// asked; absent with sanitizers.
extern "C" {
[[gnu::weak]] extern const char __start_zoetrope_allocator[], __stop_zoetrope_allocator[];
}
bool is_of_the_allocator(uintptr_t at) {
  return at >= reinterpret_cast<uintptr_t>(__start_zoetrope_allocator) &&
         at < reinterpret_cast<uintptr_t>(__stop_zoetrope_allocator);
}

// They crash where their caller gave them a bad address.
bool is_of_the_system(const char* name) {
  for (const char* prefix : {"libc.so", "libm.so", "libstdc++.so", "libgcc_s.so", "libpthread.so",
                             "ld-linux", "libasan.so", "libubsan.so"})
    if (std::strncmp(name, prefix, std::strlen(prefix)) == 0) return true;
  return false;
}

uintptr_t address_in(const ucontext_t& context) {
#if defined(__x86_64__)
  return static_cast<uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
#else
  return static_cast<uintptr_t>(context.uc_mcontext.pc);
#endif
}

// Who called a function at address zero; 0: unknown.
uintptr_t caller_of_null(const ucontext_t& context) {
#if defined(__x86_64__)
  return *reinterpret_cast<const uintptr_t*>(context.uc_mcontext.gregs[REG_RSP]);
#else
  return static_cast<uintptr_t>(context.uc_mcontext.regs[30]);
#endif
}

// Whether the search is over.
bool look_at(uintptr_t at, Search* search) {
  dl_find_object found;
  if (is_of_the_allocator(at) || _dl_find_object(reinterpret_cast<void*>(at), &found) != 0)
    return false;
  const char* path = found.dlfo_link_map->l_name;
  const char* slash = std::strrchr(path, '/');
  const char* name = slash != nullptr ? slash + 1 : path;
  if (is_of_the_system(name)) return false;
  const bool ours = *name == '\0' || std::strncmp(name, "libzoetrope", 11) == 0;  // "": the program
  if (!ours) search->found = name;
  return true;
}

_Unwind_Reason_Code on_frame(_Unwind_Context* frame, void* into) {
  auto* search = static_cast<Search*>(into);
  const uintptr_t at = _Unwind_GetIP(frame);
  search->begun = search->begun || at == search->crashed_at;
  return search->begun && look_at(at, search) ? _URC_END_OF_STACK : _URC_NO_REASON;
}

}  // namespace

const char* foreign_library_at(const void* context) {
  const auto& where = *static_cast<const ucontext_t*>(context);
  Search search;
  search.crashed_at = address_in(where);
  // Nobody can unwind from where there is no code.
  if (const uintptr_t caller = search.crashed_at == 0 ? caller_of_null(where) : 0; caller != 0)
    look_at(caller, &search);
  else
    _Unwind_Backtrace(on_frame, &search);
  return search.found;
}

}  // namespace zoetrope
