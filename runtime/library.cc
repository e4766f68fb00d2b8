#include "runtime/library.h"

#include <dlfcn.h>

#include "runtime/backend/foreign_code.h"

namespace zoetrope {

Result<void*> open_library(const std::string& path, const std::string& what) {
  {
    const ForeignCode loading("loading a library");
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
  }
  const char* reason = dlerror();
  const std::string text = reason != nullptr ? reason : "no reason given";
  // glibc's words; there is no code.
  bool memory = false;
  for (const char* word : {"failed to map segment", "annot allocate memory", "cannot map zero-fill",
                           "cannot create shared object descriptor", "cannot allocate TLS",
                           "cannot create cache", "Too many open files"})
    memory = memory || text.find(word) != std::string::npos;
  return error(memory ? Code::kResourceExhausted : Code::kUnavailable, what,
               " cannot be loaded: ", text);
}

}  // namespace zoetrope
