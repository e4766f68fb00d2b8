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
  const char* library = nullptr;
};

// They crash where their caller gave them a bad address.
bool is_of_the_system(const char* name) {
  for (const char* prefix :
       {"libc.so", "libm.so", "libstdc++.so", "libgcc_s.so", "libpthread.so", "ld-linux"})
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

_Unwind_Reason_Code on_frame(_Unwind_Context* frame, void* into) {
  auto* search = static_cast<Search*>(into);
  const uintptr_t at = _Unwind_GetIP(frame);
  search->begun = search->begun || at == search->crashed_at;
  // What no file holds was compiled as the program ran.
  dl_find_object found;
  if (!search->begun || _dl_find_object(reinterpret_cast<void*>(at), &found) != 0)
    return _URC_NO_REASON;
  const char* path = found.dlfo_link_map->l_name;
  const char* slash = std::strrchr(path, '/');
  const char* name = slash != nullptr ? slash + 1 : path;
  if (is_of_the_system(name)) return _URC_NO_REASON;
  const bool ours = *name == '\0' || std::strncmp(name, "libzoetrope", 11) == 0;  // "": the program
  if (!ours) search->library = name;
  return _URC_END_OF_STACK;
}

}  // namespace

const char* foreign_library_at(const void* context) {
  Search search;
  search.crashed_at = address_in(*static_cast<const ucontext_t*>(context));
  _Unwind_Backtrace(on_frame, &search);
  return search.library;
}

}  // namespace zoetrope
