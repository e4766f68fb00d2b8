#include "runtime/library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <new>

#include "runtime/backend/foreign_code.h"

namespace zoetrope {

Result<void*> open_library(const std::string& path, const std::string& what) {
  {
    const ForeignCode loading(ForeignCode::Kind::kSetUp, "loading a library");
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
  // Where it gets no memory for the name, it says that there is no such file.
  memory = memory || (text.find("cannot open shared object file") != std::string::npos &&
                      ::access(path.c_str(), R_OK) == 0);
  return error(memory ? Code::kResourceExhausted : Code::kUnavailable, what,
               " cannot be loaded: ", text);
}

std::string library_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&library_folder), &info) == 0 || !info.dli_fname)
    return {};
  std::error_code failed;
  const auto path = std::filesystem::canonical(info.dli_fname, failed);
  if (failed == std::errc::not_enough_memory) throw std::bad_alloc();  // as elsewhere
  if (failed) return std::filesystem::path(info.dli_fname).parent_path().string();
  return path.parent_path().string();
}

Result<std::string> installed_model(const std::string& name) {
  if (const char* path = std::getenv("ZOETROPE_MODEL"); path != nullptr && *path != '\0')
    return std::string(path);
  const std::filesystem::path folder = library_folder();
  // PREFIX/lib/zoetrope where it is installed, BUILD/lib where it was built.
  const auto installed = folder.parent_path().parent_path() / "share" / "zoetrope" / name;
  const auto built = folder.parent_path() / "share" / "zoetrope" / name;
  std::error_code failed;
  for (const auto& path : {built, installed})
    if (std::filesystem::exists(path, failed)) return path.string();
  return error(Code::kNotFound, "the model that comes with the program is missing (expected ",
               (folder.filename() == "zoetrope" ? installed : built).string(), ")");
}

}  // namespace zoetrope
